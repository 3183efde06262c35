import { readFileSync } from 'node:fs'
import type { IpFamily } from '../net/ip.ts'
import { familyOfText, hasIpv6, type HostState } from './host-state.ts'
import { isMissingProgram, run, type RunOptions } from './run.ts'

/** Rules of ours in chains of others carry this comment. */
const COMMENT = 'overlay-ts'
/** Exists once the legacy backend holds tables of the family in this network namespace. */
const LEGACY_TABLES: Readonly<Record<IpFamily, string>> = {
  ipv4: '/proc/net/ip_tables_names',
  ipv6: '/proc/net/ip6_tables_names',
}

/** Each family has a program of its own, with rules of its own. */
export const IPTABLES = { ipv4: 'iptables', ipv6: 'ip6tables' } as const

/** iptables has two backends; Docker uses one of them, and it need not be this file system's default. */
type Iptables = (typeof IPTABLES)[IpFamily]
type Backend = Iptables | `${Iptables}-${'legacy' | 'nft'}`

/** The chain in which Docker leaves room for others, and the one that leads there. */
export type ForwardChain = 'DOCKER-USER' | 'FORWARD'

/** What iptables does with forwarded packets, as iptables-save prints it. */
export interface ForwardRules {
  readonly backend: Backend
  /** Of FORWARD: "DROP" or "ACCEPT". */
  readonly policy: string
  /** Without "-A CHAIN "; null for a chain that does not exist. */
  readonly chains: Readonly<Record<ForwardChain, readonly string[] | null>>
}

/** A rule to insert (`at` counts from 1) or to delete. */
export interface ChainEdit {
  readonly chain: ForwardChain
  readonly at: number | null
  readonly rule: string
}

/** @returns null when iptables has no filter table, or is not installed @throws OverlayError host_state */
export async function observeForwardRules(family: IpFamily): Promise<ForwardRules | null> {
  const program = IPTABLES[family]
  const first = await savedRules(program)
  if (isDockers(first)) return first
  const second = await savedRules(`${program}-${hasLegacyTables(family) ? 'legacy' : 'nft'}`)
  if (isDockers(second)) return second
  return [first, second].find((rules) => rules && isClosed(rules)) ?? first ?? second
}

const isDockers = (rules: ForwardRules | null): boolean => rules?.chains['DOCKER-USER'] != null

const savedRules = async (backend: Backend): Promise<ForwardRules | null> =>
  forwardRulesIn(await saveRules(backend), backend)

/** What iptables-save prints of all tables; "" where it is not installed. @throws OverlayError host_state */
export async function saveRules(backend: Backend): Promise<string> {
  try {
    // Asked for one table, the legacy backend creates it.
    const { stdout } = await run(`${backend}-save`, [])
    return stdout
  } catch (error) {
    if (isMissingProgram(error)) return ''
    throw error
  }
}

/** Reads the filter table of what iptables-save printed. */
export function forwardRulesIn(saved: string, backend: Backend = 'iptables'): ForwardRules | null {
  const filter = /^\*filter$([\s\S]*?)^COMMIT$/m.exec(saved)?.[1]
  if (filter === undefined) return null
  const lines = filter.split('\n')
  const rulesOf = (chain: ForwardChain): string[] | null => {
    if (!lines.some((line) => line.startsWith(`:${chain} `))) return null
    const prefix = `-A ${chain} `
    return lines.flatMap((line) => (line.startsWith(prefix) ? [line.slice(prefix.length)] : []))
  }
  return {
    backend,
    policy: /^:FORWARD (\w+)/m.exec(filter)?.[1] ?? 'ACCEPT',
    chains: { 'DOCKER-USER': rulesOf('DOCKER-USER'), FORWARD: rulesOf('FORWARD') },
  }
}

/** Whether the older backend filters the family here; the newer one is part of nftables. */
export function hasLegacyTables(family: IpFamily): boolean {
  try {
    return readFileSync(LEGACY_TABLES[family], 'utf8').split('\n').includes('filter')
  } catch {
    return false
  }
}

/**
 * The rules that let through what the isolation table has let through before: Docker's FORWARD policy
 * is DROP. Addresses are not repeated; that table has checked them.
 */
export function wantedRules(want: HostState, family: IpFamily = 'ipv4'): string[] {
  const bridges = want.bridges.filter(({ addresses }) => {
    return family === 'ipv4' || hasIpv6(addresses)
  })
  const flows = want.allowed.filter(({ fromPrefix }) => familyOfText(fromPrefix) === family)
  const pairs = [
    ...bridges.map(({ name }) => [name, name]),
    ...flows.map(({ fromLink, toLink }) => [fromLink, toLink]),
  ]
  const matches = [
    ...pairs.map(([from, to]) => `-i ${from} -o ${to}`),
    // Published ports are asked for by whatever link, at addresses of IPv4.
    ...(family === 'ipv4'
      ? want.waysOut.flatMap(({ bridge }) => [`-i ${bridge}`, `-o ${bridge}`])
      : []),
  ]
  const rules = matches.map((match) => `${match} -m comment --comment ${COMMENT} -j ACCEPT`)
  return [...new Set(rules)].sort()
}

/**
 * The edits that make our rules exactly the wanted ones, and have them where forwarded packets come
 * by. That is Docker's chain, unless somebody flushed the way there and left the door shut.
 */
export function forwardEdits(have: ForwardRules, wanted: readonly string[]): ChainEdit[] {
  const home = homeOf(have)
  return (['DOCKER-USER', 'FORWARD'] as const).flatMap((chain) => {
    const rules = have.chains[chain]
    return rules === null ? [] : editsFor(chain, rules, chain === home ? wanted : [])
  })
}

/** null where nothing of iptables stops a packet. */
function homeOf(have: ForwardRules): ForwardChain | null {
  const { FORWARD, 'DOCKER-USER': room } = have.chains
  if (room !== null && FORWARD?.includes('-j DOCKER-USER')) return 'DOCKER-USER'
  if (isClosed(have)) return 'FORWARD'
  return room === null ? null : 'DOCKER-USER'
}

const isClosed = ({ policy, chains }: ForwardRules): boolean =>
  policy === 'DROP' || (chains.FORWARD ?? []).some((rule) => /^-j (DROP|REJECT)\b/.test(rule))

/**
 * Ours stand after the rules of others, so that an administrator's filter comes first, but before the
 * first rule that ends the chain for every packet (Docker's own RETURN), behind which nothing works.
 */
function editsFor(
  chain: ForwardChain,
  rules: readonly string[],
  wanted: readonly string[],
): ChainEdit[] {
  const end = rules.findIndex((rule) => rule.startsWith('-j '))
  const reached = end === -1 ? rules : rules.slice(0, end)
  // A rule is deleted by its words, which takes its first copy: of several, none can be kept.
  const isGood = (rule: string): boolean =>
    wanted.includes(rule) && reached.includes(rule) && isSingle(rule, rules)
  const kept = reached.filter((rule) => !isOurs(rule) || isGood(rule))
  const missing = wanted.filter((rule) => !isGood(rule))
  return [
    ...rules
      .filter((rule) => isOurs(rule) && !isGood(rule))
      .map((rule) => ({ chain, at: null, rule })),
    ...missing.map((rule, index) => ({ chain, at: kept.length + 1 + index, rule })),
  ]
}

/** What of ours stands in either chain. */
export const ourRules = ({ chains }: ForwardRules): string[] =>
  Object.values(chains).flatMap((rules) => (rules ?? []).filter(isOurs))

const isOurs = (rule: string): boolean => new RegExp(`--comment "?${COMMENT}"?( |$)`).test(rule)

const isSingle = (rule: string, rules: readonly string[]): boolean =>
  rules.indexOf(rule) === rules.lastIndexOf(rule)

/** As one would type it after `iptables`. */
export function editText({ chain, at, rule }: ChainEdit): string {
  return at === null ? `-D ${chain} ${rule}` : `-I ${chain} ${at} ${rule}`
}

/**
 * Applies all edits in one transaction.
 * @param lock the file by which users of the legacy backend take turns, where it is not at its usual place
 * @throws OverlayError host_state
 */
export async function editForwardRules(
  backend: Backend,
  edits: readonly ChainEdit[],
  { lock, ...options }: Pick<RunOptions, 'signal'> & { readonly lock: string | null },
): Promise<void> {
  const input = ['*filter', ...edits.map(editText), 'COMMIT', ''].join('\n')
  const args = ['--noflush', '--wait=5']
  const env = lock === null ? {} : { XTABLES_LOCKFILE: lock }
  await run(`${backend}-restore`, args, { ...options, input, env })
}
