/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Which socket a connection lands on. One object, so that all programs share one set of maps; read the parts in this
 * order. */
#include "outbound.h"
#include "inbound.h"
#include "guard.h"
#include "client.h"
#include "probe.h"

char LICENSE[] SEC("license") = "GPL";
