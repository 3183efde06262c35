import { z } from 'zod'
import { OverlayError } from '../errors.ts'
import { LINK_PREFIX, NFT_TABLE } from './host-state.ts'
import { ALLOWED6 } from './isolation-sets.ts'
import { isMissingProgram, run } from './run.ts'

/**
 * A base chain of somebody else that drops forwarded packets unless a rule of its own lets them through.
 * nftables asks every base chain: what another one accepts counts for nothing there.
 */
export interface ClosingChain {
  /** "inet", "ip", "ip6" */
  readonly family: string
  readonly table: string
  readonly name: string
  /** Whether its policy drops, or its last rule. */
  readonly by: 'policy' | 'last rule'
}

const chain = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  hook: z.string().optional(),
  policy: z.string().optional(),
})
const rule = z.object({
  chain: z.string(),
  expr: z.array(z.record(z.string(), z.unknown())).default([]),
})
const listing = z.object({
  nftables: z.array(z.looseObject({ chain: chain.optional(), rule: rule.optional() })),
})
type Objects = z.output<typeof listing>['nftables']

/** @returns none where nft is not installed @throws OverlayError host_state */
export async function observeClosingChains(): Promise<ClosingChain[]> {
  const chains = (await list(['list', 'chains'])).flatMap((object) => object.chain ?? [])
  const candidates = chains.filter(isOnOurWay)
  const some6 = candidates.some(({ family }) => family === 'ip6')
  const families = some6 && (await allowsIpv6()) ? ['inet', 'ip', 'ip6'] : ['inet', 'ip']
  const found: ClosingChain[] = []
  for (const candidate of candidates.filter(({ family }) => families.includes(family))) {
    const { family, table, name, policy } = candidate
    const objects = await list(['--terse', 'list', 'table', family, table])
    if (namesOurLinks(objects)) continue
    const by = policy === 'drop' ? 'policy' : endsClosed(objects, name) ? 'last rule' : null
    if (by !== null) found.push({ family, table, name, by })
  }
  return found
}

/** FORWARD of iptables and of ip6tables is left out: our rules are let in there. */
function isOnOurWay({ family, table, name, hook }: z.output<typeof chain>): boolean {
  if (hook !== 'forward' || !/^(inet|ip|ip6)$/.test(family) || table === NFT_TABLE) return false
  return !(family !== 'inet' && table === 'filter' && name === 'FORWARD')
}

/** Whether any network here has IPv6, in the way of which a chain for it alone can be. */
async function allowsIpv6(): Promise<boolean> {
  return (await list(['list', 'set', 'inet', NFT_TABLE, ALLOWED6])).length > 0
}

/** In any chain of the table: firewalld and others sort their rules into chains by zone. */
const namesOurLinks = (objects: Objects): boolean =>
  objects.some(({ rule }) => rule && JSON.stringify(rule.expr).includes(`"${LINK_PREFIX}`))

/** Whether the chain ends with a rule that refuses whatever comes to it. */
function endsClosed(objects: Objects, name: string): boolean {
  const last = objects.findLast(({ rule }) => rule?.chain === name)?.rule
  const kinds = last?.expr.flatMap(Object.keys) ?? []
  const refuses = kinds.includes('drop') || kinds.includes('reject')
  return refuses && kinds.every((kind) => ['drop', 'reject', 'counter', 'log'].includes(kind))
}

async function list(args: readonly string[]): Promise<Objects> {
  try {
    const { code, stdout, stderr } = await run('nft', ['-j', ...args], { accept: [1] })
    if (code === 0) return listing.parse(JSON.parse(stdout)).nftables
    // Gone between two questions.
    if (stderr.includes('No such file or directory')) return []
    throw new OverlayError('host_state', `nft ${args.join(' ')}: exit ${code}: ${stderr.trim()}`)
  } catch (error) {
    if (isMissingProgram(error)) return []
    throw error
  }
}
