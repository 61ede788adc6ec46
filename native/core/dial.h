// Connecting supplied sockets. Results are 0 or an errno.
#pragma once

#include "address.h"
#include "clients_map.h"
#include "source_addresses.h"

namespace weft::core {

// Binds to the next free place of the source block.
int BindSource(int socket, SourceAddresses& sources, Endpoint* source);

struct client_key ClientKey(const Endpoint& source, const Endpoint& app);
struct client ClientValue(const Endpoint& client);

// EINPROGRESS: writable, or an error in SO_ERROR, tells the end.
int Connect(int socket, const Endpoint& destination);

// The error that a socket has met, or `otherwise` where it was told already.
int SocketError(int socket, int otherwise);

}  // namespace weft::core
