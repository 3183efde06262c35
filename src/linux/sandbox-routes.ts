import { existsSync } from 'node:fs'
import { z } from 'zod'
import { messageOf } from '../errors.ts'
import { containsIp, formatCidr, overlaps, parseCidr, sameCidr, type Cidr } from '../net/cidr.ts'
import { formatIpv4, type Ipv4 } from '../net/ipv4.ts'
import { ROUTE_PROTOCOL } from './host-state.ts'
import { batchError, ipBatch, ipQuery, ipRoute, type IpRoute } from './ip.ts'
import { withLength } from './routes.ts'
import type { RunOptions } from './run.ts'

export interface SandboxRoutes {
  /** Path of the container's network namespace. */
  readonly netns: string
  /** The address of our bridge in the container's network. */
  readonly gateway: Ipv4
  /** The prefixes that should be reached through the gateway. */
  readonly wanted: readonly Cidr[]
  /** Prefixes that were wanted once: libnetwork's own static routes do not carry our protocol number. */
  readonly known: readonly Cidr[]
  /**
   * Prefixes that libnetwork itself is about to route there. Nothing is done before they are, since
   * its own attempt would fail on ours and with it the container's start.
   */
  readonly after?: readonly Cidr[]
}

export interface SandboxChanges {
  readonly added: readonly Cidr[]
  readonly removed: readonly Cidr[]
  /** Left alone, because a route of somebody else in the container overlaps. */
  readonly refused: readonly { readonly prefix: Cidr; readonly by: string }[]
}

interface SandboxRoute {
  readonly prefix: Cidr
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
    const [answer = []] = await ipQuery(['route show table main'], inside)
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
  const present = routes.filter(({ dst }) => dst !== 'default')
  const prefixes = present.map((route) => ({ ...route, to: parseCidr(withLength(route.dst)) }))
  return (
    prefixes.some(({ to, gateway: via }) => via === undefined && containsIp(to, gateway)) &&
    after.every((prefix) => prefixes.some(({ to }) => sameCidr(to, prefix)))
  )
}

function planSandbox(
  sandbox: SandboxRoutes,
  routes: readonly IpRoute[],
): { commands: string[]; changes: SandboxChanges } {
  const gateway = formatIpv4(sandbox.gateway)
  const present = routes.filter(({ dst }) => dst !== 'default').map(describe(gateway, sandbox))
  const wanted = sandbox.wanted
  const stale = present.filter((route) => {
    return (
      route.viaGateway && route.ours && !wanted.some((prefix) => sameCidr(prefix, route.prefix))
    )
  })
  const missing = wanted.filter((prefix) => {
    return !present.some((route) => route.viaGateway && sameCidr(route.prefix, prefix))
  })
  const others = present.filter(({ viaGateway, ours }) => !(viaGateway && ours))
  const refused = missing.flatMap((prefix) => {
    const other = others.find((route) => overlaps(route.prefix, prefix))
    return other ? [{ prefix, by: other.text }] : []
  })
  const added = missing.filter((prefix) => !refused.some((refusal) => refusal.prefix === prefix))
  return {
    commands: [
      ...stale.map(({ prefix }) => `route del ${formatCidr(prefix)} via ${gateway}`),
      ...added.map((prefix) => {
        return `route add ${formatCidr(prefix)} via ${gateway} proto ${ROUTE_PROTOCOL}`
      }),
    ],
    changes: { added, removed: stale.map(({ prefix }) => prefix), refused },
  }
}

const describe =
  (gateway: string, { wanted, known }: SandboxRoutes) =>
  (route: IpRoute): SandboxRoute => {
    const prefix = parseCidr(withLength(route.dst))
    const isListed = [...wanted, ...known].some((listed) => sameCidr(listed, prefix))
    const words = [
      formatCidr(prefix),
      ...(route.gateway ? [`via ${route.gateway}`] : []),
      ...(route.dev ? [`dev ${route.dev}`] : []),
    ]
    return {
      prefix,
      text: words.join(' '),
      viaGateway: route.gateway === gateway,
      ours: isListed || route.protocol === String(ROUTE_PROTOCOL),
    }
  }
