import { z } from 'zod'
import { OverlayError } from '../errors.ts'
import { run, type RunOptions } from './run.ts'

/** What `ip -json -details address show` says of a link, as far as it is read here. */
export const ipLink = z.object({
  ifindex: z.number(),
  ifname: z.string(),
  flags: z.array(z.string()),
  mtu: z.number(),
  master: z.string().optional(),
  address: z.string().optional(),
  txqlen: z.number().optional(),
  qdisc: z.string().optional(),
  link_netnsid: z.number().optional(),
  linkinfo: z
    .object({
      info_kind: z.string().optional(),
      info_data: z.record(z.string(), z.unknown()).optional(),
      /** What `master` is: "bridge", "vrf". */
      info_slave_kind: z.string().optional(),
      /** As a port of what `master` names. */
      info_slave_data: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
  addr_info: z.array(
    z.object({
      family: z.string(),
      local: z.string(),
      prefixlen: z.number(),
      scope: z.string(),
      /** Of IPv6: the kernel is still asking whether somebody else has it. */
      tentative: z.boolean().optional(),
      /** Of IPv6: somebody else has it. */
      dadfailed: z.boolean().optional(),
      /** Of IPv6: made up for a day, to be told from no other host's. */
      temporary: z.boolean().optional(),
      deprecated: z.boolean().optional(),
    }),
  ),
})
export type IpLink = z.output<typeof ipLink>

/** What `ip -json -details route show` says of a route. A number stands where a protocol has no name. */
export const ipRoute = z.object({
  type: z.string(),
  dst: z.string(),
  dev: z.string().optional(),
  gateway: z.string().optional(),
  prefsrc: z.string().optional(),
  protocol: z.string().optional(),
  /** Where more than one was asked about. */
  table: z.string().optional(),
  scope: z.string().optional(),
  metric: z.number().optional(),
  metrics: z.array(z.looseObject({ mtu: z.number().optional() })).optional(),
})
export type IpRoute = z.output<typeof ipRoute>

/**
 * For a batch of commands, beside what any program may take for each of them: the kernel lets a removed
 * link go when all processors have been through, which a busy machine makes a tenth of a second.
 */
const BATCH_MS = 5000
const COMMAND_MS = 250

/** One of the lines of a batch, and what iproute2 answered to it. */
export interface BatchFailure {
  readonly command: string
  readonly reason: string
}

/**
 * Asks several questions with one start of `ip`; each answer is a list of its JSON objects.
 * @param prefix a command put before `ip`, such as nsenter with its options
 * @throws OverlayError host_state
 */
export async function ipQuery(
  questions: readonly string[],
  options: RunOptions & {
    readonly prefix?: readonly string[]
    /**
     * What is asked about where a question leaves the family open; for the routes of one table IPv4,
     * unless told (those of all tables are of both).
     */
    readonly family?: 'inet6'
  } = {},
): Promise<unknown[][]> {
  const family = options.family === undefined ? [] : ['-family', options.family]
  const [program, ...args] = commandLine(options.prefix, ...family, '-json', '-details')
  const input = questions.map((line) => `${line}\n`).join('')
  const { stdout } = await run(program, args, { ...options, input })
  const answers = stdout.split('\n').filter((line) => line.startsWith('['))
  if (answers.length !== questions.length) {
    throw new OverlayError(
      'host_state',
      `ip gave ${answers.length} answers to ${questions.length} questions (${questions.join('; ')}); iproute2 5.0 or newer is needed`,
    )
  }
  return answers.map((line) => nonEmpty(JSON.parse(line)))
}

function commandLine(prefix: readonly string[] = [], ...flags: string[]): [string, ...string[]] {
  const [first, ...rest] = prefix
  const ip = [...flags, '-batch', '-']
  return first === undefined ? ['ip', ...ip] : [first, ...rest, 'ip', ...ip]
}

/** Links or routes that a filter leaves out are printed as empty objects. */
function nonEmpty(answer: unknown): unknown[] {
  return z
    .array(z.looseObject({}))
    .parse(answer)
    .filter((item) => Object.keys(item).length > 0)
}

/**
 * Runs many `ip` commands (without the word `ip`) with one start. Every command is tried, so that
 * one that the kernel refuses keeps no other from its work; deleting what is gone already succeeds.
 * @returns the commands that failed, in order
 */
export async function ipBatch(
  commands: readonly string[],
  options: RunOptions & { readonly prefix?: readonly string[] } = {},
): Promise<BatchFailure[]> {
  if (commands.length === 0) return []
  const [program, ...args] = commandLine(options.prefix, '-force')
  const input = commands.map((line) => `${line}\n`).join('')
  const timeoutMs = BATCH_MS + COMMAND_MS * commands.length
  const output = await run(program, args, { timeoutMs, ...options, input, accept: [1, 2] })
  if (output.code === 0) return []
  const failures = failedLines(commands, output.stderr)
  if (failures.length === 0) {
    const command = [program, ...args].join(' ')
    throw new OverlayError('host_state', `${command}: exit ${output.code}: ${output.stderr.trim()}`)
  }
  return failures.filter((failed) => !wasGoneAlready(failed))
}

/** The error of a batch: its first failure in full, and how many more there were. */
export function batchError(failures: readonly BatchFailure[]): OverlayError {
  const [first] = failures
  const more = failures.length > 1 ? ` (${failures.length - 1} more commands failed)` : ''
  return new OverlayError('host_state', `ip ${first?.command}: ${first?.reason}${more}`)
}

/** iproute2 prints the reason and then "Command failed -:LINE" for each line that fails. */
function failedLines(commands: readonly string[], stderr: string): BatchFailure[] {
  const failures: BatchFailure[] = []
  let reason: string[] = []
  for (const line of stderr.split('\n').filter(Boolean)) {
    const number = /^Command failed -:(\d+)$/.exec(line)?.[1]
    if (number === undefined) {
      reason.push(line)
    } else {
      failures.push({ command: commands[Number(number) - 1] ?? '?', reason: reason.join('; ') })
      reason = []
    }
  }
  return failures
}

const GONE =
  /Cannot find device|No such (process|device)|Cannot assign requested address|address not found/i

function wasGoneAlready({ command, reason }: BatchFailure): boolean {
  return /^\S+ del /.test(command) && GONE.test(reason)
}
