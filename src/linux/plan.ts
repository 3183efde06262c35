import {
  editText,
  forwardEdits,
  ourRules,
  wantedRules,
  type ChainEdit,
  type ForwardRules,
} from './docker-user.ts'
import {
  familyOfText,
  hasIpv6,
  LINK_PREFIX,
  NFT_TABLE,
  type Bridge,
  type BridgePort,
  type HostState,
  type Tun,
} from './host-state.ts'
import { IPV6_FORWARDING, keepHearing } from './ipv6-forwarding.ts'
import { loadScript, renderIsolation, sameIsolation } from './isolation.ts'
import { lostOnLinkRoutes } from './lost-on-link-routes.ts'
import { narrowLinks, widened } from './narrow-links.ts'
import type { ObservedLink, ObservedState } from './observe.ts'
import { fullRoute, routeSlot, routeText, type FullRoute } from './routes.ts'
import { satisfies, wantedSysctls } from './sysctls.ts'

/** One change of the host. Neighbouring steps of a kind are applied by one program. */
export type Step =
  | { readonly kind: 'ip'; readonly command: string }
  | { readonly kind: 'qdisc'; readonly link: string; readonly qdisc: string }
  | { readonly kind: 'sysctl'; readonly path: string; readonly value: string }
  | { readonly kind: 'nft'; readonly script: string }
  | {
      readonly kind: 'iptables'
      readonly backend: ForwardRules['backend']
      readonly edit: ChainEdit
    }

/**
 * The current values of the settings that a wanted state touches, and of those that hearingSettings()
 * lists; null where there is no such setting.
 */
export type Sysctls = ReadonlyMap<string, string | null>

/** The step as a reader would type it into a shell. */
export function stepText(step: Step): string {
  if (step.kind === 'ip') return `ip ${step.command}`
  if (step.kind === 'qdisc') return `tc qdisc replace dev ${step.link} root ${step.qdisc}`
  if (step.kind === 'sysctl') return `sysctl -w ${step.path}=${step.value}`
  if (step.kind === 'nft') return `nft -f - <<'END'\n${step.script}END`
  return `${step.backend} ${editText(step.edit)}`
}

/**
 * The steps from what is to what is wanted, in an order that is safe at each point: links are made
 * down, the isolation table is in force before one of them is up, addresses are there before routes
 * that name them as source, and what goes, goes in reverse. Nothing goes while links are spared.
 */
export function planHost(have: ObservedState, sysctls: Sysctls, want: HostState): Step[] {
  const wanted = [...(want.tun ? [want.tun.name] : []), ...want.bridges.map(({ name }) => name)]
  const misfits = [...have.links.values()].filter((link) => !fits(link, want))
  const left = withoutLinks(have, new Set(misfits.map(({ name }) => name)))
  const narrow = narrowLinks(left, want)
  const now = widened(left, narrow)
  return [
    ...misfits
      .filter(({ name }) => wanted.includes(name))
      .map(({ name }) => ip(`link del ${name}`)),
    ...creations(now, want).map(ip),
    ...[...narrow].map(([name, mtu]) => ip(`link set dev ${name} mtu ${mtu}`)),
    ...sysctlSteps(now, sysctls, want, narrow),
    ...isolationSteps(have, want, wanted.length > 0),
    ...(want.tun ? tunSteps(want.tun, now.links.get(want.tun.name)) : []).map(ip),
    ...(want.tun ? qdiscSteps(want.tun, now.links.get(want.tun.name)) : []),
    ...want.bridges.flatMap((bridge) => bridgeSteps(bridge, now)).map(ip),
    ...want.ports.flatMap((port) => portSteps(port, now.links.get(port.name))).map(ip),
    ...routeSteps(now, want).map(ip),
    ...forwardSteps(have, want),
    ...(want.tun && !isSparing(want)
      ? staleAddresses(want.tun, now.links.get(want.tun.name))
      : []
    ).map(ip),
    ...removals(misfits, wanted).map(ip),
    ...(wanted.length === 0 && have.isolation !== null && !isSparing(want)
      ? [nft(`delete table inet ${NFT_TABLE}\n`)]
      : []),
  ]
}

const isSparing = (want: HostState): boolean => want.spared.length > 0

const ip = (command: string): Step => ({ kind: 'ip', command })
const nft = (script: string): Step => ({ kind: 'nft', script })

/** Whether a link of ours is one that is wanted and could serve as it. */
function fits({ name, kind, usable }: ObservedLink, want: HostState): boolean {
  if (name === want.tun?.name) return kind === 'tun' && usable
  if (want.bridges.some((bridge) => bridge.name === name)) return kind === 'bridge'
  if (want.spared.includes(name)) return true
  return want.ports.some((port) => port.name === name || port.name === hostEndOf(name))
}

const CONTAINER_END = `${LINK_PREFIX}c`

/** The container side waits on the host before libnetwork moves it, and comes back to the host after. */
function hostEndOf(name: string): string | null {
  return name.startsWith(CONTAINER_END)
    ? `${LINK_PREFIX}h${name.slice(CONTAINER_END.length)}`
    : null
}

function withoutLinks(have: ObservedState, gone: ReadonlySet<string>): ObservedState {
  if (gone.size === 0) return have
  return {
    ...have,
    links: new Map([...have.links].filter(([name]) => !gone.has(name))),
  }
}

function creations(now: ObservedState, want: HostState): string[] {
  const tun =
    want.tun && !now.links.has(want.tun.name)
      ? [`tuntap add dev ${want.tun.name} mode tun multi_queue vnet_hdr`]
      : []
  const missing = want.bridges.filter(({ name }) => !now.links.has(name))
  const bridges = missing.map(({ name, mac }) => {
    return `link add name ${name} address ${mac} type bridge stp_state 0 forward_delay 0`
  })
  return [...tun, ...bridges]
}

function sysctlSteps(
  now: ObservedState,
  sysctls: Sysctls,
  want: HostState,
  renewed: ReadonlyMap<string, number>,
): Step[] {
  const due = wantedSysctls(want).filter((rule) => {
    const link = now.links.get(rule.link ?? '')
    if (rule.takesIpv6Away && isSparing(want) && hasIpv6(link?.addresses ?? [])) return false
    if (rule.ofOldLink && link === undefined) return false
    // A setting that is only made by this plan, with its link or anew, cannot have been read yet.
    const isNew = rule.link !== undefined && (link === undefined || renewed.has(rule.link))
    const value = sysctls.get(rule.path) ?? null
    return value === null ? isNew : !satisfies(value, rule)
  })
  // Last of all, so that nothing but itself waits for it where something cannot be written.
  const forwarding = due.filter(({ path }) => path === IPV6_FORWARDING)
  return [
    ...due.filter((rule) => !forwarding.includes(rule)),
    ...(forwarding.length > 0 ? keepHearing(now.listeners, sysctls) : []),
    ...forwarding,
  ].map(({ path, value }) => ({ kind: 'sysctl', path, value }))
}

function isolationSteps(have: ObservedState, want: HostState, isWanted: boolean): Step[] {
  if (!isWanted) return []
  const rendered = renderIsolation(want)
  return sameIsolation(have.isolation, rendered) ? [] : [nft(loadScript(rendered, have.isolation))]
}

function tunSteps(tun: Tun, have: ObservedLink | undefined): string[] {
  return [
    ...missingAddresses(tun, have),
    ...setLink(tun.name, [
      have?.mtu !== tun.mtu && `mtu ${tun.mtu}`,
      have?.queueLength !== tun.queueLength && `txqueuelen ${tun.queueLength}`,
      !have?.up && 'up',
    ]),
  ]
}

/** Goes with the device, as its other options do. */
function qdiscSteps({ name, qdisc }: Tun, have: ObservedLink | undefined): Step[] {
  return have?.qdisc === qdisc ? [] : [{ kind: 'qdisc', link: name, qdisc }]
}

function bridgeSteps(bridge: Bridge, now: ObservedState): string[] {
  const have = now.links.get(bridge.name)
  return [
    // First, because an address that goes takes the later ones of its prefix with it.
    ...staleAddresses(bridge, have),
    ...missingAddresses(bridge, have),
    ...setLink(bridge.name, [
      have !== undefined && have.mac !== bridge.mac && `address ${bridge.mac}`,
      // Set at creation it would follow the ports (br_mtu_auto_adjust); set later it stays.
      have?.mtu !== bridge.mtu && `mtu ${bridge.mtu}`,
      !have?.up && 'up',
    ]),
    ...(have && !have.plainBridge
      ? [`link set dev ${bridge.name} type bridge stp_state 0 forward_delay 0`]
      : []),
    ...(have?.up ? lostOnLinkRoutes(bridge, have, now.onLink) : []),
  ]
}

function portSteps(port: BridgePort, have: ObservedLink | undefined): string[] {
  if (have === undefined) return []
  const moves = have.master !== port.bridge
  return [
    ...setLink(port.name, [
      moves && `master ${port.bridge}`,
      have.mtu !== port.mtu && `mtu ${port.mtu}`,
      !have.up && 'up',
    ]),
    // A port of another bridge brings none of its settings with it.
    ...((have.hairpin && !moves) === port.hairpin
      ? []
      : [`link set dev ${port.name} type bridge_slave hairpin ${port.hairpin ? 'on' : 'off'}`]),
  ]
}

function setLink(name: string, changes: readonly (string | false)[]): string[] {
  const words = changes.filter((change) => change !== false)
  return words.length === 0 ? [] : [`link set dev ${name} ${words.join(' ')}`]
}

function missingAddresses(link: Bridge | Tun, have: ObservedLink | undefined): string[] {
  return link.addresses
    .filter((address) => !have?.addresses.includes(address))
    .map((address) => {
      // Whether somebody else has it is settled by the lease and need not be asked for a second.
      const flags = familyOfText(address) === 'ipv6' ? ' nodad' : ''
      return `address add ${address} dev ${link.name}${flags}`
    })
}

function staleAddresses(link: Bridge | Tun, have: ObservedLink | undefined): string[] {
  return (have?.addresses ?? [])
    .filter((address) => !link.addresses.includes(address))
    .map((address) => `address del ${address} dev ${link.name}`)
}

/**
 * A slot that a route of ours holds is replaced in place, so that no packet meets a gap; a free slot
 * is only added to, so that a route of somebody else is never overwritten.
 */
function routeSteps(now: ObservedState, want: HostState): string[] {
  const wanted = want.routes.map(fullRoute)
  const have = now.routes.filter(({ dev }) => dev === '' || now.links.has(dev) || !isOurLink(dev))
  const present = new Set(have.map(routeText))
  const held = new Set(have.map(routeSlot))
  const slots = new Set(wanted.map(routeSlot))
  return [
    ...wanted
      .filter((route) => !present.has(routeText(route)))
      .map(
        (route) => `route ${held.has(routeSlot(route)) ? 'replace' : 'add'} ${routeText(route)}`,
      ),
    ...(isSparing(want) ? [] : have.filter((route) => !slots.has(routeSlot(route))).map(deletion)),
  ]
}

const isOurLink = (name: string): boolean => name.startsWith(LINK_PREFIX)
const deletion = (route: FullRoute): string => `route del ${routeText(route)}`

function forwardSteps({ forward }: ObservedState, want: HostState): Step[] {
  if (isSparing(want) && want.bridges.length === 0) return []
  return (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const have = forward[family]
    if (have === null) return []
    const kept = isSparing(want) ? ourRules(have) : []
    const wanted = new Set([...wantedRules(want, family), ...kept])
    return forwardEdits(have, [...wanted]).map((edit): Step => {
      return { kind: 'iptables', backend: have.backend, edit }
    })
  })
}

/** Both ends of a veth pair go with one of them. */
function removals(misfits: readonly ObservedLink[], wanted: readonly string[]): string[] {
  const names = new Set(misfits.map(({ name }) => name))
  return misfits
    .filter(({ name }) => !wanted.includes(name) && !names.has(hostEndOf(name) ?? ''))
    .map(({ name }) => `link del ${name}`)
    .reverse()
}
