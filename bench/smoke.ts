/**
 * Places every subject, sees a packet of the largest size and a second of TCP pass, removes it and looks
 * for what it left. Nothing is measured.
 *
 *   node bench/smoke.ts                    all
 *   node bench/smoke.ts wireguard-go n2n   ours, the kernel's and these
 */
import { readdirSync } from 'node:fs'
import { argv } from '../lab/argv.ts'
import type { DockerHost } from '../lab/docker-host.ts'
import { messageOf, OverlayError } from '../src/errors.ts'
import { waitFor } from '../test/support/wait.ts'
import { inMode } from './modes.ts'
import { pinHosts } from './pinning.ts'
import { createLab, withSubjects } from './stage.ts'
import type { Subject } from './subjects/subject.ts'

const FILL = 1000

const say = (line: string): void => console.error(`smoke: ${line}`)
const words = process.argv.slice(2)
const options = { rounds: 1, seconds: 1, say, ...(words.length > 0 && { only: words }) }
try {
  await smoke()
} catch (error) {
  say(messageOf(error))
  process.exitCode = 1
}
for (const name of namespaces()) blame(`namespace ${name} is left`)

async function smoke(): Promise<void> {
  await using lab = await createLab(say)
  const before = await Promise.all(lab.hosts.map(stateOf))
  await withSubjects(lab, options, async (stage) => {
    for (const { name, why } of stage.absent) blame(`${name} is not there: ${why}`)
    for (const subject of stage.subjects) {
      await subject.fill?.(FILL)
      say(`${subject.name}: ${await moves(subject)}, ${busy(subject, stage.hosts)}`)
    }
    for (const mode of ['passed', 'segmented'] as const) {
      await using _mode = await inMode(stage, mode)
      await using _pinned = await pinHosts(stage, [0, 1])
      for (const subject of stage.subjects) {
        say(`${subject.name}, ${mode}, pinned: ${await moves(subject)}`)
      }
    }
  })
  // The hosts learn through etcd of what the other one has no more.
  const differs = async (): Promise<string[]> => {
    const after = await Promise.all(lab.hosts.map(stateOf))
    return lab.hosts.flatMap(({ name }, index) => [
      ...without(after[index]!, before[index]!).map((line) => `left on ${name}: ${line}`),
      ...without(before[index]!, after[index]!).map((line) => `gone on ${name}: ${line}`),
    ])
  }
  await waitFor(async () => (await differs()).length === 0, {
    what: 'the hosts to be as they were',
    timeout: 30_000,
  }).catch(async () => (await differs()).forEach(blame))
}

function blame(line: string): void {
  say(line)
  process.exitCode = 1
}

/** The host's network, the programs that run on it and its files but for logs, as lines. */
async function stateOf(host: DockerHost): Promise<string[]> {
  const programs = await host.exec('ps', '-A', '-o', 'comm=')
  const files = readdirSync(host.machine.dir).filter((name) => !/\.(log|pid)$/.test(name))
  return [...(await host.stateText()).split('\n'), ...programs.split('\n'), ...files]
}

function without(lines: readonly string[], known: readonly string[]): string[] {
  return lines.filter((line) => !known.includes(line))
}

/** What a ping and a second of TCP did. @throws OverlayError when nothing passes */
async function moves({ client, server, name }: Subject): Promise<string> {
  await waitFor(() => client.run(...argv`busybox ping -c 1 -W 2 -s 1300 ${server.ip}`), {
    what: `an answer through ${name}`,
    timeout: 30_000,
  })
  await using _server = server.serve('iperf3', '-s')
  const gbit = await waitFor(
    async () => {
      const report = await client.run(...argv`iperf3 -J -c ${server.ip} -t 1`)
      const { end } = JSON.parse(report) as { end: { sum_received?: { bits_per_second: number } } }
      // Refused is no failure to iperf3 that writes JSON.
      return end.sum_received && end.sum_received.bits_per_second / 1e9
    },
    { what: 'iperf3 to serve', timeout: 30_000 },
  )
  if (gbit > 0) return `${gbit.toFixed(2)} Gbit/s`
  throw new OverlayError('host_state', `${name} moved no TCP`)
}

function busy(subject: Subject, hosts: readonly DockerHost[]): string {
  const counts = hosts.map((host) => subject.processes(host).length)
  return `processes ${counts.join(' and ')}`
}

/** Those of this process's lab; others' come and go. */
function namespaces(): string[] {
  try {
    return readdirSync('/run/netns').filter((name) => name.startsWith(`ovt-${process.pid}-`))
  } catch {
    return []
  }
}
