import { messageOf, OverlayError } from '../errors.ts'
import { editForwardRules, observeForwardRules } from './docker-user.ts'
import { OWN_PATHS, xtablesLock, type HostPaths } from './host-paths.ts'
import { hasIpv6, type HostState } from './host-state.ts'
import { batchError, ipBatch } from './ip.ts'
import { hearingSettings } from './ipv6-forwarding.ts'
import { observeHost, type ObservedState } from './observe.ts'
import { planHost, stepText, type Step } from './plan.ts'
import { isLackingQdisc, setQdisc } from './qdisc.ts'
import { run } from './run.ts'
import { readSysctls, wantedSysctls, writeSysctl } from './sysctls.ts'

/** A change that was made, as one would type it into a shell. */
export interface AppliedChange {
  readonly kind: Step['kind']
  readonly command: string
}

export interface ApplyOptions {
  /** Those of a program on the host itself unless given. */
  readonly paths?: HostPaths
  readonly signal?: AbortSignal
  /** Told, in a sentence each, what this host lacks and was therefore left out. */
  readonly onSkipped?: (sentence: string) => void
}

let last: Promise<unknown> = Promise.resolve()

/** Whether rules of ours may stand in ip6tables: known to be none where no IPv6 has been wanted. */
let mayHaveRules6 = true

/**
 * Makes the host's network stack what is wanted, whatever it was. A function is asked after the host
 * was looked at, so that what appeared meanwhile is not taken for a leftover. Calls take turns. A step
 * that fails keeps none but those behind a failed isolation table from being tried, so that the next
 * call finds less to do.
 * @returns the changes made; none when all was well
 * @throws OverlayError host_state, naming the first command that failed
 */
export function applyHostState(
  want: HostState | ((have: ObservedState) => HostState),
  options: ApplyOptions = {},
): Promise<AppliedChange[]> {
  const turn = last.then(() => applyNow(want, options))
  last = turn.catch(() => undefined)
  return turn
}

async function applyNow(
  wanted: HostState | ((have: ObservedState) => HostState),
  options: ApplyOptions,
): Promise<AppliedChange[]> {
  const seen = await observeHost()
  const want = typeof wanted === 'function' ? wanted(seen) : wanted
  const wantsIpv6 = [want.tun, ...want.bridges].some((link) => hasIpv6(link?.addresses ?? []))
  mayHaveRules6 ||= wantsIpv6
  const have = mayHaveRules6 ? await withRules6(seen) : seen
  const rules = wantedSysctls(want)
  const sysctls = readSysctls(
    [...rules.map(({ path }) => path), ...hearingSettings(have.listeners, want)],
    (options.paths ?? OWN_PATHS).procSys,
  )
  for (const { path, link } of rules) {
    if (link === undefined && sysctls.get(path) === null) {
      options.onSkipped?.(missing(path))
    }
  }
  if (have.forward.ipv4?.chains['DOCKER-USER'] == null && want.bridges.length > 0) {
    options.onSkipped?.(
      'Docker has no chain DOCKER-USER here; overlays are let through in FORWARD if that is closed',
    )
  }
  const applied: AppliedChange[] = []
  const problems: unknown[] = []
  const plan = planHost(have, sysctls, want)
  for (const group of neighbours(plan.filter((step) => !isLackingQdisc(step)))) {
    try {
      const done = await applyGroup(group, options)
      applied.push(...done.map((step) => ({ kind: step.kind, command: stepText(step) })))
    } catch (error) {
      problems.push(error)
      if (group[0]?.kind === 'nft') break
    }
  }
  if (problems.length === 0) {
    mayHaveRules6 = wantsIpv6 || want.spared.length > 0
    return applied
  }
  const [first] = problems
  const more = problems.length > 1 ? `; then ${problems.slice(1).map(messageOf).join('; ')}` : ''
  throw new OverlayError('host_state', `${messageOf(first)}${more}`, { cause: first })
}

async function withRules6(have: ObservedState): Promise<ObservedState> {
  return { ...have, forward: { ...have.forward, ipv6: await observeForwardRules('ipv6') } }
}

/** Cuts the plan where the program changes. */
function neighbours(steps: readonly Step[]): Step[][] {
  const groups: Step[][] = []
  for (const step of steps) {
    const group = groups.at(-1)
    if (group?.[0] && programOf(group[0]) === programOf(step)) group.push(step)
    else groups.push([step])
  }
  return groups
}

const programOf = (step: Step): string => (step.kind === 'iptables' ? step.backend : step.kind)

/** @returns the steps that changed something */
async function applyGroup(group: readonly Step[], options: ApplyOptions): Promise<Step[]> {
  const limits = options.signal ? { signal: options.signal } : {}
  const commands = group.flatMap((step) => (step.kind === 'ip' ? [step.command] : []))
  const failures = await ipBatch(commands, limits)
  if (failures.length > 0) throw batchError(failures)
  const edits = group.flatMap((step) => (step.kind === 'iptables' ? [step] : []))
  if (edits[0]) {
    await editForwardRules(
      edits[0].backend,
      edits.map(({ edit }) => edit),
      { ...limits, lock: xtablesLock(options.paths ?? OWN_PATHS) },
    )
  }
  for (const step of group) {
    if (step.kind === 'nft') await run('nft', ['-f', '-'], { ...limits, input: step.script })
  }
  for (const step of group) {
    if (step.kind === 'qdisc') {
      const lack = await setQdisc(step, limits)
      if (lack !== null) options.onSkipped?.(lack)
    }
  }
  return group.filter(
    (step) => !isLackingQdisc(step) && (step.kind !== 'sysctl' || setSysctl(step, options)),
  )
}

function setSysctl(
  { path, value }: { readonly path: string; readonly value: string },
  { paths = OWN_PATHS, onSkipped }: ApplyOptions,
): boolean {
  try {
    const exists = writeSysctl(path, value, paths.procSys)
    if (!exists) onSkipped?.(missing(path))
    return exists
  } catch (error) {
    const sentence = `sysctl -w ${path}=${value}: ${messageOf(error)}`
    throw new OverlayError('host_state', sentence, { cause: error })
  }
}

const missing = (path: string): string =>
  `${path} does not exist in this network namespace and was left alone`
