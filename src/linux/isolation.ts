import { createHash } from 'node:crypto'
import { z } from 'zod'
import { OverlayError } from '../errors.ts'
import { fragmentChains } from './fragments.ts'
import { LINK_PREFIX, NFT_TABLE, type HostState } from './host-state.ts'
import { isolationSets, setLines } from './isolation-sets.ts'
import { GUARD_COUNTER, guardChains, guardRules, guardSets } from './tunnel-guard.ts'
import { wayOutChains, wayOutRules, type NftChain } from './publishing.ts'
import { isMissingProgram, run } from './run.ts'

/** Dropped packets by direction, seen from our links; and those to other hosts' tunnels. */
export const ISOLATION_COUNTERS = [
  'into_ours',
  'out_of_ours',
  'between_ours',
  GUARD_COUNTER,
] as const
export type IsolationCounter = (typeof ISOLATION_COUNTERS)[number]
export type IsolationCounters = Record<IsolationCounter, { packets: number; bytes: number }>

/** Raised when the objects of the table change, so that an older table is replaced whole. */
const SHAPE = 'overlay-ts 4'

/** The table as far as its presence and completeness tell. */
export interface IsolationTable {
  /**
   * Digest of the text it was loaded from and, behind a dash, the number of rules in it; null when the
   * rule that carries it is gone.
   */
  readonly digest: string | null
  readonly chains: readonly string[]
  readonly sets: readonly string[]
  readonly rules: number
  readonly elements: number
}

export interface RenderedIsolation extends IsolationTable {
  /** Rules and elements; loadScript() wraps them. */
  readonly body: string
}

/**
 * The rules of forwarding to and from our links. Whatever neither enters nor leaves a link of ours
 * is none of our business, but for other hosts' tunnels (tunnel-guard.ts). Replies need no shortcut by connection state: flows come in pairs. The
 * chain runs before Docker's filter and any masquerade, so that addresses are still the senders'.
 * Both families are dropped alike; IPv6 has a set and a rule of its own where any of it is allowed.
 * One bridge's own frames come here only when br_netfilter sends them (bridge-nf-call-iptables=1).
 */
export function renderIsolation(want: HostState): RenderedIsolation {
  const passing = isolationSets(want)
  const sets = [...passing, ...guardSets(want)]
  const rules = [
    ...guardRules(want),
    `iifname != "${LINK_PREFIX}*" oifname != "${LINK_PREFIX}*" accept`,
    ...passing.map(({ name, match }) => `${match} @${name} accept`),
    ...wayOutRules(want),
    `iifname != "${LINK_PREFIX}*" counter name "into_ours" drop`,
    `oifname != "${LINK_PREFIX}*" counter name "out_of_ours" drop`,
    'counter name "between_ours" drop',
  ]
  const forward = {
    name: 'forward',
    hook: 'type filter hook forward priority -10',
    rules,
  }
  const others = [...wayOutChains(want), ...fragmentChains(want), ...guardChains(want)]
  const elements = sets.flatMap((set) => set.elements)
  const text = [...elements, ...[...others, forward].flatMap(chainLines)].join('\n')
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16)
  const count = others.reduce((sum, chain) => sum + chain.rules.length, rules.length)
  const digest = `${hash}-${count}`
  const body = [
    ...sets.flatMap(setLines),
    ...others.flatMap(chainLines),
    ...chainLines({
      ...forward,
      rules: [...rules.slice(0, -1), `${rules.at(-1)} comment "${SHAPE} ${digest}"`],
    }),
  ].join('\n')
  return {
    body,
    digest,
    chains: [...others, forward].map(({ name }) => name),
    sets: sets.map(({ name }) => name),
    rules: count,
    elements: elements.length,
  }
}

function chainLines({ name, hook, rules }: NftChain): string[] {
  return [
    `  chain ${name} {`,
    ...(hook === null ? [] : [`    ${hook}; policy accept;`]),
    ...rules.map((rule) => `    ${rule}`),
    '  }',
  ]
}

/**
 * The transaction that puts the rendered rules in force. Over an intact table of the same shape it
 * keeps the named counters; otherwise the table is made anew.
 */
export function loadScript(
  { body, chains }: RenderedIsolation,
  have: IsolationTable | null,
): string {
  const clear =
    have === null || !isIntact(have)
      ? [`table inet ${NFT_TABLE}`, `delete table inet ${NFT_TABLE}`]
      : [
          ...have.chains.map((name) => `flush chain inet ${NFT_TABLE} ${name}`),
          ...have.chains
            .filter((name) => !chains.includes(name))
            .map((name) => `delete chain inet ${NFT_TABLE} ${name}`),
          ...have.sets.map((name) => `delete set inet ${NFT_TABLE} ${name}`),
        ]
  const counters = ISOLATION_COUNTERS.map((name) => `  counter ${name} {}`)
  return [...clear, `table inet ${NFT_TABLE} {`, ...counters, body, '}', ''].join('\n')
}

/** Whether no rule is gone since it was loaded. */
const isIntact = ({ digest, rules }: IsolationTable): boolean =>
  digest !== null && digest.endsWith(`-${rules}`)

export function sameIsolation(a: IsolationTable | null, b: IsolationTable): boolean {
  return a?.digest === b.digest && a.rules === b.rules && a.elements === b.elements
}

const listing = z.object({
  nftables: z.array(
    z.looseObject({
      set: z.object({ name: z.string(), elem: z.array(z.unknown()).default([]) }).optional(),
      chain: z.object({ name: z.string() }).optional(),
      rule: z.object({ comment: z.string().optional() }).optional(),
      counter: z.object({ name: z.string(), packets: z.number(), bytes: z.number() }).optional(),
    }),
  ),
})

/** @returns null when the table does not exist @throws OverlayError host_state */
export async function observeIsolation(): Promise<IsolationTable | null> {
  const objects = await listJson(['list', 'table', 'inet', NFT_TABLE])
  if (objects === null) return null
  const rules = objects.flatMap(({ rule }) => (rule ? [rule] : []))
  const comment = rules.find((rule) => rule.comment?.startsWith(`${SHAPE} `))?.comment
  return {
    digest: comment?.slice(SHAPE.length + 1) ?? null,
    chains: objects.flatMap(({ chain }) => (chain ? [chain.name] : [])),
    sets: objects.flatMap(({ set }) => (set ? [set.name] : [])),
    rules: rules.length,
    elements: objects.reduce((sum, { set }) => sum + (set?.elem.length ?? 0), 0),
  }
}

/** What the isolation table has dropped; null when there is no table. @throws OverlayError host_state */
export async function readIsolationCounters(): Promise<IsolationCounters | null> {
  const objects = await listJson(['list', 'counters', 'table', 'inet', NFT_TABLE])
  if (objects === null) return null
  const found = new Map(
    objects.flatMap(({ counter }) => (counter ? [[counter.name, counter]] : [])),
  )
  return Object.fromEntries(
    ISOLATION_COUNTERS.map((name) => {
      const { packets = 0, bytes = 0 } = found.get(name) ?? {}
      return [name, { packets, bytes }]
    }),
  ) as IsolationCounters
}

async function listJson(
  args: readonly string[],
): Promise<z.output<typeof listing>['nftables'] | null> {
  try {
    const { code, stdout, stderr } = await run('nft', ['-j', ...args], { accept: [1] })
    if (code === 0) return listing.parse(JSON.parse(stdout)).nftables
    if (stderr.includes('No such file or directory')) return null
    throw new OverlayError('host_state', `nft ${args.join(' ')}: exit ${code}: ${stderr.trim()}`)
  } catch (error) {
    if (isMissingProgram(error)) return null
    throw error
  }
}
