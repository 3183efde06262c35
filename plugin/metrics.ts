import { Counter, Gauge, Registry } from 'prom-client'
import { VERSION } from './version.ts'

/** What the program tells about itself at one moment; names are snake_case and in Prometheus' letters. */
export interface MetricsSnapshot {
  /** Totals of the forwarder by name: `packets_sent` becomes overlay_ts_packets_sent_total. */
  readonly counters: Readonly<Record<string, number>>
  /** Packets the forwarder dropped, by reason. */
  readonly drops: Readonly<Record<string, number>>
  /** Packets the host's isolation rules dropped, by rule. */
  readonly isolationDrops: Readonly<Record<string, number>>
  readonly storeConnected: boolean
  /** Keys in the store that were wrong and left out. */
  readonly storeProblems: number
  readonly dockerConnected: boolean
  /** Docker networks of this host. */
  readonly networks: number
  /** Containers' attachments on this host. */
  readonly endpoints: number
}

/** The snapshot in Prometheus' text format. */
export function metricsText(snapshot: MetricsSnapshot): Promise<string> {
  const registers = [new Registry()] as const
  const total = (name: string, help: string, value: number): void => {
    new Counter({ name: `overlay_ts_${name}_total`, help, registers: [...registers] }).inc(value)
  }
  const gauge = (name: string, help: string, value: number): void => {
    new Gauge({ name, help, registers: [...registers] }).set(value)
  }
  const totalBy = (
    name: string,
    help: string,
    label: string,
    values: Readonly<Record<string, number>>,
  ): void => {
    const counter = new Counter({
      name: `overlay_ts_${name}_total`,
      help,
      labelNames: [label],
      registers: [...registers],
    })
    for (const [value, count] of Object.entries(values)) counter.inc({ [label]: value }, count)
  }

  for (const [name, value] of Object.entries(snapshot.counters)) {
    total(name, `Forwarder: ${name.replaceAll('_', ' ')}`, value)
  }
  totalBy('drops', 'Packets the forwarder dropped', 'reason', snapshot.drops)
  totalBy(
    'isolation_drops',
    "Packets the host's isolation rules dropped",
    'rule',
    snapshot.isolationDrops,
  )
  gauge('overlay_ts_store_connected', 'Whether etcd answers', Number(snapshot.storeConnected))
  gauge('overlay_ts_store_problems', 'Keys in etcd that are wrong', snapshot.storeProblems)
  gauge(
    'overlay_ts_docker_connected',
    "Whether Docker's events arrive",
    Number(snapshot.dockerConnected),
  )
  gauge('overlay_ts_networks', 'Docker networks of this host', snapshot.networks)
  gauge('overlay_ts_endpoints', "Containers' attachments on this host", snapshot.endpoints)
  gauge('process_resident_memory_bytes', 'Resident memory in bytes', process.memoryUsage.rss())
  new Gauge({
    name: 'overlay_ts_build_info',
    help: 'The version, as a label',
    labelNames: ['version'],
    registers: [...registers],
  }).set({ version: VERSION }, 1)
  return registers[0].metrics()
}
