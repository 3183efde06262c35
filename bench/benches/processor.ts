import type { DockerHost } from '../../lab/docker-host.ts'
import type { ComparedBench } from '../bench.ts'
import type { Values } from '../figure.ts'
import { bulk, serveBulk } from '../iperf.ts'
import { pinHosts } from '../pinning.ts'
import { busySeconds, secondsOf } from '../processor-time.ts'
import type { Subject } from '../subjects/subject.ts'

/** Of the sending host and of the receiving one. */
const CORES = [0, 1] as const

export const processor: ComparedBench = {
  kind: 'compared',
  name: 'cpu',
  title: 'Processor time',
  about:
    'What a Gbit from container to container costs while one stream of bulk TCP runs, each host on a core of its own. The first three figures are working time of both cores and of each, iperf3 ' +
    'included: the kernel does part of the work of every subject in the context of iperf3, and most of the work of its own device. ' +
    'The others are without both iperf3, and of the processes that carry packets alone.',
  figures: [
    { id: 'cpu', what: 'both hosts', unit: 'ms/Gbit', better: 'less' },
    { id: 'cpu-sending', what: 'sending host', unit: 'ms/Gbit', better: 'less' },
    { id: 'cpu-receiving', what: 'receiving host', unit: 'ms/Gbit', better: 'less' },
    { id: 'cpu-beside', what: 'without iperf3', unit: 'ms/Gbit', better: 'less' },
    { id: 'cpu-carriers', what: 'carrying processes', unit: 'ms/Gbit', better: 'less' },
    { id: 'cpu-tcp', what: 'TCP meanwhile', unit: 'Gbit/s', better: 'more' },
  ],
  around: (stage) => pinHosts(stage, CORES),
  async begin(subject, { hosts, seconds }) {
    const serving = await serveBulk(subject)
    return {
      measure: () => costs(subject, hosts, seconds),
      [Symbol.asyncDispose]: () => Promise.resolve(serving[Symbol.asyncDispose]()),
    }
  },
}

async function costs(
  subject: Subject,
  hosts: readonly DockerHost[],
  seconds: number,
): Promise<Values> {
  const carriers = hosts.flatMap((host) => subject.processes(host))
  const readings = (): number[] => [
    ...CORES.map((core) => busySeconds()[core]!),
    secondsOf(carriers),
  ]
  const before = readings()
  const sent = await bulk(subject, { streams: 1, seconds, all: true })
  const [sending, receiving, carrying] = readings().map(
    (after, index) => (1000 * (after - before[index]!)) / sent.gbit,
  )
  const both = sending! + receiving!
  return {
    cpu: both,
    'cpu-sending': sending!,
    'cpu-receiving': receiving!,
    'cpu-beside': both - (1000 * sent.toolSeconds) / sent.gbit,
    // Where the kernel carries the packets there are no such processes.
    ...(carriers.length > 0 && { 'cpu-carriers': carrying! }),
    'cpu-tcp': sent.gbitPerSecond,
  }
}
