import type { AllowedFlow, Bridge, HostState, Route } from '../../../src/linux/host-state.ts'

/** A bridge as the controller wants it. */
export function exampleBridge(
  id: string,
  address: string,
  proxyArp = true,
  address6: string | null = null,
): Bridge {
  const mac = `02:00:00:00:00:${id.padStart(2, '0')}`
  const addresses = address6 === null ? [address] : [address, address6]
  return { name: `ov-b${id}`, mac, mtu: 1450, addresses, proxyArp }
}

/** Both directions between two links. */
export function exampleFlows(
  a: string,
  aPrefix: string,
  b: string,
  bPrefix: string,
): AllowedFlow[] {
  return [
    { fromLink: a, toLink: b, fromPrefix: aPrefix, toPrefix: bPrefix },
    { fromLink: b, toLink: a, fromPrefix: bPrefix, toPrefix: aPrefix },
  ]
}

/** A remote prefix, with the blackhole that remains when the TUN is lost. */
export function exampleRoutes(prefix: string, src: string): Route[] {
  return [
    { type: 'unicast', to: prefix, dev: 'ov-tun', src, scope: 'global' },
    { type: 'blackhole', to: prefix, metric: 4294967293 },
  ]
}

/** One pooled overlay with the local subnet 10.33.5.0/24 of the pool 10.33.0.0/17 on ov-b1. */
export const ONE_NETWORK: HostState = {
  tun: {
    name: 'ov-tun',
    mtu: 1450,
    queueLength: 4000,
    qdisc: 'fq_codel',
    addresses: ['10.33.5.0/32'],
  },
  bridges: [exampleBridge('1', '10.33.5.1/24')],
  ports: [],
  routes: exampleRoutes('10.33.0.0/17', '10.33.5.0'),
  sysctls: new Map(),
  allowed: exampleFlows('ov-b1', '10.33.5.0/24', 'ov-tun', '10.33.0.0/17'),
  waysOut: [],
  tunnelEnds: null,
  spared: [],
}

/** The same with IPv6 inside: the local subnet fd00:33:0:5::/64 of the pool fd00:33::/48. */
export const DUAL_NETWORK: HostState = {
  ...ONE_NETWORK,
  tun: { ...ONE_NETWORK.tun!, addresses: ['10.33.5.0/32', 'fd00:33:0:5::/128'] },
  bridges: [exampleBridge('1', '10.33.5.1/24', true, 'fd00:33:0:5::1/64')],
  routes: [...ONE_NETWORK.routes, ...exampleRoutes('fd00:33::/48', 'fd00:33:0:5::')],
  sysctls: new Map([['net/ipv6/conf/all/forwarding', '1']]),
  allowed: [
    ...ONE_NETWORK.allowed,
    ...exampleFlows('ov-b1', 'fd00:33:0:5::/64', 'ov-tun', 'fd00:33::/48'),
  ],
}
