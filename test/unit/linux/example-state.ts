import type { AllowedFlow, Bridge, HostState, Route } from '../../../src/linux/host-state.ts'
import type { ForwardRules } from '../../../src/linux/docker-user.ts'
import type { ObservedLink, ObservedState } from '../../../src/linux/observe.ts'

/** A host without anything of ours. */
export const NOTHING: ObservedState = {
  links: new Map(),
  routes: [],
  onLink: new Set(),
  isolation: null,
  forward: { ipv4: dockers(['-j RETURN']), ipv6: null },
  listeners: [],
}

const POOL_WEB = '10.33.0.0/17'

/** A pooled overlay "web" with this host's subnet 10.33.5.0/24 and one container. */
export const WEB: HostState = {
  tun: {
    name: 'ov-tun',
    mtu: 1450,
    queueLength: 4000,
    qdisc: 'fq_codel',
    addresses: ['10.33.5.0/32'],
  },
  bridges: [bridge('ov-b1111111111', '10.33.5.1/24', true)],
  ports: [{ name: 'ov-haaaaaaaaaa', bridge: 'ov-b1111111111', mtu: 1450, hairpin: false }],
  routes: [...into(POOL_WEB, '10.33.5.0')],
  sysctls: new Map(),
  allowed: [...between('ov-b1111111111', '10.33.5.0/24', POOL_WEB)],
  waysOut: [],
  tunnelEnds: null,
  spared: [],
}

/** The same host with a second, routed overlay. */
export const WEB_AND_APP: HostState = {
  ...WEB,
  tun: {
    name: 'ov-tun',
    mtu: 1450,
    queueLength: 4000,
    qdisc: 'fq_codel',
    addresses: ['10.33.5.0/32', '172.20.0.0/32'],
  },
  bridges: [...WEB.bridges, bridge('ov-b2222222222', '172.20.0.1/16', false)],
  routes: [
    ...WEB.routes,
    ...into('172.21.0.0/16', '172.20.0.0'),
    { type: 'unreachable', to: '172.21.0.0/16', scope: 'link', metric: 4294967294 },
  ],
  allowed: [...WEB.allowed, ...between('ov-b2222222222', '172.20.0.0/16', '172.21.0.0/16')],
}

const POOL6_WEB = 'fd00:33::/48'

/** The first host again, with IPv6 in its overlay. */
export const DUAL_WEB: HostState = {
  ...WEB,
  tun: { ...WEB.tun!, addresses: ['10.33.5.0/32', 'fd00:33:0:5::/128'] },
  bridges: [bridge('ov-b1111111111', '10.33.5.1/24', true, 'fd00:33:0:5::1/64')],
  routes: [...WEB.routes, ...into(POOL6_WEB, 'fd00:33:0:5::')],
  sysctls: new Map([['net/ipv6/conf/all/forwarding', '1']]),
  allowed: [...WEB.allowed, ...between('ov-b1111111111', 'fd00:33:0:5::/64', POOL6_WEB)],
}

function bridge(
  name: string,
  address: string,
  proxyArp: boolean,
  ...others: readonly string[]
): Bridge {
  return { name, mac: '02:00:00:00:00:01', mtu: 1450, addresses: [address, ...others], proxyArp }
}

function into(prefix: string, src: string): Route[] {
  return [
    { type: 'unicast', to: prefix, dev: 'ov-tun', src, scope: 'global' },
    { type: 'blackhole', to: prefix, metric: 4294967293 },
  ]
}

function between(name: string, subnet: string, remote: string): AllowedFlow[] {
  return [
    { fromLink: name, toLink: 'ov-tun', fromPrefix: subnet, toPrefix: remote },
    { fromLink: 'ov-tun', toLink: name, fromPrefix: remote, toPrefix: subnet },
  ]
}

/** A veth end as the kernel reports it. */
export function veth(name: string, master: string | null): ObservedLink {
  return {
    name,
    kind: 'veth',
    usable: true,
    mac: '',
    mtu: 1450,
    queueLength: 1000,
    qdisc: 'noqueue',
    up: true,
    master,
    hairpin: false,
    addresses: [],
    plainBridge: false,
  }
}

/** The rules of a host on which Docker runs, with these in the chain that it leaves to others. */
export function dockers(
  rules: readonly string[],
  backend: ForwardRules['backend'] = 'iptables',
): ForwardRules {
  return {
    backend,
    policy: 'DROP',
    chains: { 'DOCKER-USER': rules, FORWARD: ['-j DOCKER-USER'] },
  }
}
