import { forwardEdits, wantedRules } from '../../../src/linux/docker-user.ts'
import type { IpFamily } from '../../../src/net/ip.ts'
import type { HostState } from '../../../src/linux/host-state.ts'
import { renderIsolation } from '../../../src/linux/isolation.ts'
import type { ObservedLink, ObservedState } from '../../../src/linux/observe.ts'
import type { Sysctls } from '../../../src/linux/plan.ts'
import { fullRoute } from '../../../src/linux/routes.ts'
import { wantedSysctls } from '../../../src/linux/sysctls.ts'
import { dockers, veth } from './example-state.ts'

/** What a host looks like on which the state is in force. */
export function observedAs(want: HostState): ObservedState {
  const common = { usable: true, up: true, master: null, hairpin: false }
  const tuns = (want.tun ? [want.tun] : []).map((tun): ObservedLink => {
    return { ...common, ...tun, kind: 'tun', mac: '', plainBridge: false }
  })
  const bridges = want.bridges.map((bridge): ObservedLink => {
    return {
      ...common,
      ...bridge,
      kind: 'bridge',
      queueLength: 1000,
      qdisc: 'noqueue',
      plainBridge: true,
    }
  })
  const ports = want.ports.map(({ name, bridge }) => veth(name, bridge))
  const rules = (family: IpFamily): string[] =>
    forwardEdits(dockers([]), wantedRules(want, family)).map(({ rule }) => rule)
  return {
    links: new Map([...tuns, ...bridges, ...ports].map((link) => [link.name, link])),
    routes: want.routes.map(fullRoute),
    onLink: new Set(
      want.bridges.flatMap(({ name, addresses }) => {
        return addresses.map((address) => `${networkOf(address)} dev ${name}`)
      }),
    ),
    isolation: want.tun ? renderIsolation(want) : null,
    forward: {
      ipv4: dockers([...rules('ipv4'), '-j RETURN']),
      ipv6: dockers([...rules('ipv6'), '-j RETURN'], 'ip6tables'),
    },
    listeners: [],
  }
}

/** The settings of such a host. */
export function sysctlsOf(want: HostState): Sysctls {
  return new Map(wantedSysctls(want).map(({ path, value }) => [path, value]))
}

/** The examples use byte-aligned prefixes with a host part of .0 or .1. */
function networkOf(address: string): string {
  return address.replace(/\.1\//, '.0/').replace(/::1\//, '::/')
}
