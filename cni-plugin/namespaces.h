/* The file of opted-in namespaces, which the agent keeps for the time when it is away:
 * {"version":1,"namespaces":["a","b"]}. */
#ifndef WEFT_NAMESPACES_H
#define WEFT_NAMESPACES_H

enum membership { OPTED_OUT, OPTED_IN, UNKNOWN /* no readable, valid file */ };

enum membership namespaces_look_up(const char *path, const char *namespace);

#endif
