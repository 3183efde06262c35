/**
 * Every MTU this project speaks of.
 *
 *   underlay MTU   what the machines' own network carries in one IP packet (1500)
 *   overlay MTU    what a container may send in one IP packet (1450): underlay less the encapsulation
 *   peer MTU       the smaller overlay MTU of the two ends; a lease publishes its host's
 *
 *   underlay packet  | IPv4 20 | UDP 8 | VXLAN 8 | inner Ethernet 14 | inner IP packet |
 *                    |<----------- 50 of overhead ----------------->|<- overlay MTU ->|
 */
export const IPV4_OVERHEAD = 20 + 8 + 8 + 14
export const IPV6_OVERHEAD = 40 + 8 + 8 + 14

/** What every IPv4 host must be able to receive (RFC 791 section 3.2); below it no overlay is offered. */
export const MIN_OVERLAY_MTU = 576

/** What every link that carries IPv6 must carry in one packet (RFC 8200 section 5). */
export const MIN_IPV6_MTU = 1280

/** The overlay MTU over an underlay of that MTU. */
export function overlayMtu(underlayMtu: number, underlay: 'ipv4' | 'ipv6' = 'ipv4'): number {
  return underlayMtu - (underlay === 'ipv4' ? IPV4_OVERHEAD : IPV6_OVERHEAD)
}
