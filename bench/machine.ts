import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { command, tryCommand } from '../lab/command.ts'

/** What a reader must know of the machine to judge figures; nothing that tells which one it is. */
export async function describeMachine(): Promise<string[]> {
  const docker = await command(['dockerd', '--version'])
  return [
    `${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? 'an unknown processor'}`,
    `${Math.round(totalmem() / 2 ** 30)} GB of memory`,
    `Linux ${release().replace(/-.*/, '')}`,
    `Node ${process.version}`,
    docker.replace(/,.*/, '').toLowerCase(),
    (await tryCommand(['iperf3', '--version'])).split('\n')[0]!.replace(/ \(.*/, ''),
  ]
}

/** Programs that wanted to run, on average over the last minute. */
export function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0])
}
