/**
 * How the forwarding tables lie in one block of shared memory, in 32-bit words:
 *
 *   header | entries | peers | peer table | VNI table
 *          | root: 65,536 words by address bits 0–15 | nodes of 16 words             (IPv4)
 *          | lengths in use, longest first | a table for each length                 (IPv6)
 *
 * A word of the root or of a node is 0 (nothing), the number of an entry, or ~number of a node, which
 * decides by the next four bits: two nodes below the root are a /24, four a /32, whatever the size.
 */
export const PEERS = 0
export const PEER_COUNT = 1
export const PEER_TABLE = 2
export const PEER_SLOTS = 3
export const PEER_SEED = 4
export const VNI_TABLE = 5
export const VNI_SLOTS = 6
export const VNI_SEED = 7
export const ROOT = 8
export const NODES = 9
export const LENGTHS = 10
export const LENGTH_COUNT = 11
export const OWN_MAC = 14 * 4 // bytes
export const HEADER_WORDS = 16

/** An entry is a subnet; MAC in bytes from its begin. Entry 0 is no subnet, peer 0 is this host. */
export const ENTRIES = HEADER_WORDS
export const ENTRY_WORDS = 8
export const VNI = 0
export const PEER = 1
export const MTU = 2
export const MAC = 12

/**
 * A peer is a host by its outer address: struct sockaddr_in or sockaddr_in6 without a port, its length,
 * and the address as numbers, of which IPv4 uses the first.
 */
export const PEER_WORDS = 16
export const SOCKADDR = 0
export const SOCKADDR_LENGTH = 7
export const ADDRESS = 8

export const ROOT_BITS = 16
export const ROOT_WORDS = 65_536
export const NODE_BITS = 4
export const NODE_WORDS = 16

/** A prefix length in use: its mask, its table and how many slots that has. */
export const LENGTH_WORDS = 8
export const MASK = 0
export const TABLE = 4
export const SLOTS = 5
export const SEED = 6

/** A slot of such a table: the number of the entry, 0 in an empty one, and the address of the subnet. */
export const SLOT_WORDS = 8
export const ENTRY = 0
export const PREFIX = 1
