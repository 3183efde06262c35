import { messageOf } from '../errors.ts'
import type { Step } from './plan.ts'
import { isMissingProgram, run, type RunOptions } from './run.ts'

type QdiscStep = Extract<Step, { kind: 'qdisc' }>

/** Queueing disciplines that this kernel turned out not to have, or that there is no `tc` to set. */
const lacking = new Set<string>()

/**
 * Puts a queueing discipline at the root of a link (tc(8)). There is no asking the kernel which ones it
 * has: one is tried once, and from then on known.
 * @returns null, or a sentence when this host cannot, and the link keeps what it had
 * @throws OverlayError host_state
 */
export async function setQdisc(
  { link, qdisc }: QdiscStep,
  options: RunOptions,
): Promise<string | null> {
  try {
    await run('tc', ['qdisc', 'replace', 'dev', link, 'root', qdisc], options)
    return null
  } catch (error) {
    if (!isMissingProgram(error) && !/kind is unknown|No such file/.test(messageOf(error))) {
      throw error
    }
    lacking.add(qdisc)
    const what = isMissingProgram(error) ? 'the program tc' : `the queueing discipline ${qdisc}`
    return `this host lacks ${what}, so the packets that wait at ${link} are served in the order of their arrival`
  }
}

/** Whether the step was tried before and cannot be done on this host. */
export function isLackingQdisc(step: Step): boolean {
  return step.kind === 'qdisc' && lacking.has(step.qdisc)
}
