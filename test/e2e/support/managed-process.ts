import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { startTimeOf } from '../../../lab/proc.ts'
import { UnixClient } from '../../support/unix-client.ts'
import { waitFor } from '../../support/wait.ts'

/** How the managed plugin's process is started: config.json's entrypoint. */
const COMMAND = '/usr/local/bin/node\0/app/plugin/main.ts\0'

/** The number, on the real machine, of the managed plugin's process on a host; undefined when it does not run. */
export function managedProcess(host: DockerHost): number | undefined {
  // Of the host's namespaces it has only this one.
  const network = networkOf(host.machine.init)
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => textOf(`/proc/${pid}/cmdline`) === COMMAND)
    .find((pid) => networkOf(pid) === network)
}

/** The network namespace of a process; "" when it is gone. */
function networkOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return ''
  }
}

/** What the kernel says of the process in one of its files in /proc. @throws Error when it does not run */
export function processText(host: DockerHost, file: 'status'): string {
  return readFileSync(`/proc/${managedProcess(host)}/${file}`, 'utf8')
}

/**
 * Enables the plugin and asks it Docker's first question until it answers.
 * @returns seconds from the beginning of its process to the answer, without those that its first
 *   thread waited for a processor that others held
 */
export async function secondsToAnswer(host: DockerHost, plugin: string): Promise<number> {
  using client = new UnixClient(host.pluginSocket)
  const enabled = host.docker('plugin', 'enable', plugin)
  const seconds = await waitFor(
    async () => {
      await client.call('Plugin.Activate')
      const now = Number(textOf('/proc/uptime').split(' ')[0])
      const pid = managedProcess(host)!
      // proc(5): in hundredths of a second; schedstat: nanoseconds run, nanoseconds waited.
      const began = Number(startTimeOf(pid)) / 100
      const waited = Number(textOf(`/proc/${pid}/schedstat`).split(' ')[1]) / 1e9
      return now - began - waited
    },
    { what: 'the managed plugin to answer', timeout: 60_000, every: 5 },
  )
  await enabled
  return seconds
}

/** "" for the file of a process that is gone. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
