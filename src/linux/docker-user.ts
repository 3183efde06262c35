import { readFileSync } from 'node:fs'
import type { HostState } from './host-state.ts'
import { isMissingProgram, run, type RunOptions } from './run.ts'

/** Rules of ours in chains of others carry this comment. */
const COMMENT = 'overlay-ts'
const CHAIN = 'DOCKER-USER'
/** Exists once the legacy backend holds tables in this network namespace. */
const LEGACY_TABLES = '/proc/net/ip_tables_names'

/** iptables has two backends; Docker uses one of them, and it need not be this file system's default. */
type Backend = 'iptables' | 'iptables-legacy' | 'iptables-nft'

/** The chain in which Docker leaves room for others, as iptables-save prints its rules. */
export interface DockerUserChain {
  readonly backend: Backend
  /** Without "-A DOCKER-USER ". */
  readonly rules: readonly string[]
}

/** A rule to insert (`at` counts from 1) or to delete. */
export interface ChainEdit {
  readonly at: number | null
  readonly rule: string
}

/** @returns null when there is no such chain, or no iptables at all @throws OverlayError host_state */
export async function observeDockerUser(): Promise<DockerUserChain | null> {
  const first = await savedChain('iptables')
  if (first !== null) return first
  return hasLegacyTables() ? await savedChain('iptables-legacy') : await savedChain('iptables-nft')
}

async function savedChain(backend: Backend): Promise<DockerUserChain | null> {
  try {
    // All tables: asking for one makes the legacy backend create it.
    const { stdout } = await run(`${backend}-save`, [])
    return chainIn(stdout, backend)
  } catch (error) {
    if (isMissingProgram(error)) return null
    throw error
  }
}

/** Finds the chain in the filter table of what iptables-save printed. */
export function chainIn(saved: string, backend: Backend = 'iptables'): DockerUserChain | null {
  const filter = /^\*filter$([\s\S]*?)^COMMIT$/m.exec(saved)?.[1]
  if (!filter?.includes(`\n:${CHAIN} `)) return null
  const prefix = `-A ${CHAIN} `
  const rules = filter.split('\n').filter((line) => line.startsWith(prefix))
  return { backend, rules: rules.map((line) => line.slice(prefix.length)) }
}

function hasLegacyTables(): boolean {
  try {
    return readFileSync(LEGACY_TABLES, 'utf8').split('\n').includes('filter')
  } catch {
    return false
  }
}

/**
 * The rules that let through what the isolation table has let through before: Docker's FORWARD policy
 * is DROP. Addresses are not repeated; that table has checked them.
 */
export function wantedRules(want: HostState): string[] {
  const pairs = [
    ...want.bridges.map(({ name }) => [name, name]),
    ...want.allowed.map(({ fromLink, toLink }) => [fromLink, toLink]),
  ]
  const matches = [
    ...pairs.map(([from, to]) => `-i ${from} -o ${to}`),
    // Published ports are asked for by whatever link.
    ...want.waysOut.flatMap(({ bridge }) => [`-i ${bridge}`, `-o ${bridge}`]),
  ]
  const rules = matches.map((match) => `${match} -m comment --comment ${COMMENT} -j ACCEPT`)
  return [...new Set(rules)].sort()
}

/**
 * The edits that make our rules of the chain exactly the wanted ones. They stand after the rules of
 * others, so that an administrator's filter comes first, but before the first rule that ends the
 * chain for every packet (Docker's own RETURN), behind which nothing works.
 */
export function editsFor(have: DockerUserChain, wanted: readonly string[]): ChainEdit[] {
  const end = have.rules.findIndex((rule) => rule.startsWith('-j '))
  const reached = end === -1 ? have.rules : have.rules.slice(0, end)
  // A rule is deleted by its words, which takes its first copy: of several, none can be kept.
  const isGood = (rule: string): boolean =>
    wanted.includes(rule) && reached.includes(rule) && isSingle(rule, have.rules)
  const kept = reached.filter((rule) => !isOurs(rule) || isGood(rule))
  const missing = wanted.filter((rule) => !isGood(rule))
  return [
    ...have.rules
      .filter((rule) => isOurs(rule) && !isGood(rule))
      .map((rule) => ({ at: null, rule })),
    ...missing.map((rule, index) => ({ at: kept.length + 1 + index, rule })),
  ]
}

const isOurs = (rule: string): boolean => new RegExp(`--comment "?${COMMENT}"?( |$)`).test(rule)

const isSingle = (rule: string, rules: readonly string[]): boolean =>
  rules.indexOf(rule) === rules.lastIndexOf(rule)

/** As one would type it after `iptables`. */
export function editText({ at, rule }: ChainEdit): string {
  return at === null ? `-D ${CHAIN} ${rule}` : `-I ${CHAIN} ${at} ${rule}`
}

/**
 * Applies all edits in one transaction.
 * @param lock the file by which users of the legacy backend take turns, where it is not at its usual place
 * @throws OverlayError host_state
 */
export async function editDockerUser(
  backend: Backend,
  edits: readonly ChainEdit[],
  { lock, ...options }: Pick<RunOptions, 'signal'> & { readonly lock: string | null },
): Promise<void> {
  const input = ['*filter', ...edits.map(editText), 'COMMIT', ''].join('\n')
  const args = ['--noflush', '--wait=5']
  const env = lock === null ? {} : { XTABLES_LOCKFILE: lock }
  await run(`${backend}-restore`, args, { ...options, input, env })
}
