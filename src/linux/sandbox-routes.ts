import { existsSync } from 'node:fs'
import { z } from 'zod'
import { messageOf } from '../errors.ts'
import { overlaps, parseCidr, type Cidr } from '../net/cidr.ts'
import {
  formatSubnet,
  isCidr6,
  overlaps6,
  parseCidr6,
  subnetContains,
  type Cidr6,
} from '../net/cidr6.ts'
import { isIpv4, type Ip } from '../net/ip.ts'
import { formatIp } from '../net/ipv6.ts'
import { familyOfText, ROUTE_PROTOCOL } from './host-state.ts'
import { batchError, ipBatch, ipQuery, ipRoute, type IpRoute } from './ip.ts'
import { withLength } from './routes.ts'
import type { RunOptions } from './run.ts'

/** A prefix of either family. */
type Prefix = Cidr | Cidr6

/** All of one family. */
export interface SandboxRoutes {
  /** Path of the container's network namespace. */
  readonly netns: string
  /** The address of our bridge in the container's network. */
  readonly gateway: Ip
  /** The prefixes that should be reached through the gateway. */
  readonly wanted: readonly Prefix[]
  /** Prefixes that were wanted once: libnetwork's own static routes do not carry our protocol number. */
  readonly known: readonly Prefix[]
  /**
   * Prefixes that libnetwork itself is about to route there. Nothing is done before they are, since
   * its own attempt would fail on ours and with it the container's start.
   */
  readonly after?: readonly Prefix[]
}

export interface SandboxChanges {
  readonly added: readonly Prefix[]
  readonly removed: readonly Prefix[]
  /** Left alone, because a route of somebody else in the container overlaps. */
  readonly refused: readonly { readonly prefix: Prefix; readonly by: string }[]
}

interface SandboxRoute {
  readonly prefix: Prefix
  /** The same as text. */
  readonly to: string
  readonly text: string
  readonly viaGateway: boolean
  readonly ours: boolean
}

/**
 * Makes the routes through the gateway inside a container the wanted ones. Touches only routes that
 * carry our protocol number or lead to a known prefix.
 * @returns 'gone' when the namespace does not exist (any more, or yet), 'unsettled' while libnetwork
 *   has not plugged it in yet
 * @throws OverlayError host_state
 */
export async function syncSandboxRoutes(
  sandbox: SandboxRoutes,
  options: Pick<RunOptions, 'signal' | 'timeoutMs'> = {},
): Promise<SandboxChanges | 'gone' | 'unsettled'> {
  if (!existsSync(sandbox.netns)) return 'gone'
  const inside = { ...options, prefix: ['nsenter', `--net=${sandbox.netns}`] }
  try {
    const family = isIpv4(sandbox.gateway) ? {} : ({ family: 'inet6' } as const)
    const [answer = []] = await ipQuery(['route show table main'], { ...inside, ...family })
    const routes = z.array(ipRoute).parse(answer)
    if (!isSettled(sandbox, routes)) return 'unsettled'
    const plan = planSandbox(sandbox, routes)
    const failures = await ipBatch(plan.commands, inside)
    if (failures.length > 0) throw batchError(failures)
    return plan.changes
  } catch (error) {
    if (isGone(error)) return 'gone'
    throw error
  }
}

/** A sandbox key is an empty file before its namespace is mounted on it and after it is unmounted. */
const isGone = (error: unknown): boolean =>
  /^nsenter .*(No such file or directory|Invalid argument)/s.test(messageOf(error))

/** Whether the gateway can be reached, and the routes that libnetwork makes are made. */
function isSettled({ gateway, after = [] }: SandboxRoutes, routes: readonly IpRoute[]): boolean {
  const present = routes
    .filter(({ dst }) => dst !== 'default')
    .map((route) => ({ prefix: destination(route), via: route.gateway }))
  const made = new Set(present.map(({ prefix }) => formatSubnet(prefix)))
  return (
    present.some(({ prefix, via }) => via === undefined && subnetContains(prefix, gateway)) &&
    after.every((prefix) => made.has(formatSubnet(prefix)))
  )
}

function destination({ dst }: IpRoute): Prefix {
  const prefix = withLength(dst)
  return familyOfText(prefix) === 'ipv6' ? parseCidr6(prefix) : parseCidr(prefix)
}

function doOverlap(a: Prefix, b: Prefix): boolean {
  if (isCidr6(a)) return isCidr6(b) && overlaps6(a, b)
  return !isCidr6(b) && overlaps(a, b)
}

function planSandbox(
  sandbox: SandboxRoutes,
  routes: readonly IpRoute[],
): { commands: string[]; changes: SandboxChanges } {
  const gateway = formatIp(sandbox.gateway)
  const present = routes.filter(({ dst }) => dst !== 'default').map(describe(gateway, sandbox))
  const wanted = new Map(sandbox.wanted.map((prefix) => [formatSubnet(prefix), prefix]))
  const stale = present.filter(({ viaGateway, ours, to }) => viaGateway && ours && !wanted.has(to))
  const reached = new Set(present.flatMap(({ viaGateway, to }) => (viaGateway ? [to] : [])))
  const missing = [...wanted].filter(([to]) => !reached.has(to))
  const others = present.filter(({ viaGateway, ours }) => !(viaGateway && ours))
  const refused = missing.flatMap(([, prefix]) => {
    const other = others.find((route) => doOverlap(route.prefix, prefix))
    return other ? [{ prefix, by: other.text }] : []
  })
  const added = missing.filter(
    ([, prefix]) => !refused.some((refusal) => refusal.prefix === prefix),
  )
  return {
    commands: [
      ...stale.map(({ to }) => `route del ${to} via ${gateway}`),
      ...added.map(([to]) => `route add ${to} via ${gateway} proto ${ROUTE_PROTOCOL}`),
    ],
    changes: {
      added: added.map(([, prefix]) => prefix),
      removed: stale.map(({ prefix }) => prefix),
      refused,
    },
  }
}

function describe(gateway: string, sandbox: SandboxRoutes): (route: IpRoute) => SandboxRoute {
  const listed = new Set([...sandbox.wanted, ...sandbox.known].map(formatSubnet))
  return (route) => {
    const prefix = destination(route)
    const to = formatSubnet(prefix)
    const words = [
      to,
      ...(route.gateway ? [`via ${route.gateway}`] : []),
      ...(route.dev ? [`dev ${route.dev}`] : []),
    ]
    return {
      prefix,
      to,
      text: words.join(' '),
      viaGateway: route.gateway === gateway,
      ours: listed.has(to) || route.protocol === String(ROUTE_PROTOCOL),
    }
  }
}
