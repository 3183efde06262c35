import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { argv } from '../lab/argv.ts'
import { command, tryCommand } from '../lab/command.ts'
import type { DockerHost } from '../lab/docker-host.ts'
import type { Stage } from './stage.ts'

/**
 * Gives each host one core of the machine, so that a core's time is a host's: its forwarders, what is
 * started in its containers from now on, and the kernel's work on what the underlay brings it (RPS;
 * else that is done on the sender's core). Undone when disposed of, for processes that still run.
 * @param cores of the first host and of the second
 */
export async function pinHosts(
  { hosts, subjects, links }: Stage,
  cores: readonly [number, number],
): Promise<AsyncDisposable> {
  const undo = new AsyncDisposableStack()
  try {
    for (const [index, host] of hosts.entries()) {
      const core = cores[index]!
      for (const pid of subjects.flatMap((subject) => subject.processes(host))) {
        const before = allowedOf(pid)
        undo.defer(async () => void (await tryCommand(allow(pid, before))))
        await command(allow(pid, String(core)))
      }
      for (const { netns, device } of links) {
        if (netns !== host.machine.netns) continue
        for (const file of steeringOf(host, device)) {
          const before = readFileSync(file, 'utf8').trim()
          undo.defer(() => writeFileSync(file, before))
          writeFileSync(file, (1 << core).toString(16))
        }
      }
    }
    for (const { client, server } of subjects) {
      ;[client.core, server.core] = cores
      undo.defer(() => {
        client.core = server.core = null
      })
    }
  } catch (error) {
    await undo.disposeAsync()
    throw error
  }
  return undo
}

/** All threads, and those that they start. */
const allow = (pid: number, cores: string): string[] => argv`taskset -a -c -p ${cores} ${pid}`

/** "0-1", as taskset takes it. */
function allowedOf(pid: number): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return /^Cpus_allowed_list:\s+(\S+)$/m.exec(status)![1]!
}

/** Of each receive queue, seen in the host's own /sys. */
function steeringOf({ machine }: DockerHost, device: string): string[] {
  const queues = `/proc/${machine.init}/root/sys/class/net/${device}/queues`
  return readdirSync(queues)
    .filter((name) => name.startsWith('rx-'))
    .map((name) => `${queues}/${name}/rps_cpus`)
}
