import type { PortWish } from '../src/control/published-ports.ts'
import { OverlayError } from '../src/errors.ts'
import type { ProgramExternalConnectivityRequest } from './network-messages.ts'

type PortMap = ProgramExternalConnectivityRequest['Options']['com.docker.network.portmap']

/** IP protocol numbers. */
const PROTOCOLS: Readonly<Record<number, PortWish['protocol']>> = {
  6: 'tcp',
  17: 'udp',
  132: 'sctp',
}

/** What `-p` and `-P` ask for, as libnetwork tells it. @throws OverlayError unsupported, bad_input */
export function portWishes(map: PortMap): PortWish[] {
  return map.map(({ Proto, Port, HostIP, HostPort, HostPortEnd }) => {
    const protocol = PROTOCOLS[Proto]
    if (protocol === undefined) {
      throw new OverlayError(
        'unsupported',
        `-p ${HostPort}:${Port} asks for IP protocol ${Proto}; give one of tcp, udp or sctp`,
      )
    }
    const to = Math.max(HostPort, HostPortEnd)
    return { protocol, port: Port, hostIp: hostIpOf(HostIP), from: HostPort, to }
  })
}

function hostIpOf(text: string): string | null {
  if (text === '' || text === '0.0.0.0') return null
  if (/^\d+\.\d+\.\d+\.\d+$/.test(text)) return text
  throw new OverlayError(
    'unsupported',
    `-p ${text.includes(':') ? `[${text}]` : text}:… cannot be published on a network with -o gateway=bridge, which has IPv4 only; give an IPv4 address of this host, or none for all of them`,
  )
}
