import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { command, tryCommand } from '../lab/command.ts'

/** What a reader must know of the machine to judge figures; nothing that tells which one it is. */
export async function describeMachine(): Promise<string[]> {
  const docker = await command(['dockerd', '--version'])
  const first = async (...words: string[]): Promise<string> =>
    (await tryCommand(words)).split('\n')[0]!.trim()
  return [
    `${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? 'an unknown processor'}`,
    `${Math.round(totalmem() / 2 ** 30)} GB of memory`,
    `Linux ${release().replace(/-.*/, '')}`,
    `Node ${process.version}`,
    docker.replace(/,.*/, '').toLowerCase(),
    (await first('iperf3', '--version')).replace(/ \(.*/, ''),
    (await first('sockperf', '--version')).replace(/^sockperf, version ([\d.]+).*/, 'sockperf $1'),
  ].filter((words) => words !== '')
}

/** Programs that wanted to run, on average over the last minute. */
export function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0])
}
