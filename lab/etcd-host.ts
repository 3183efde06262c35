import { ETCD_IP } from './address.ts'
import { argv } from './argv.ts'
import { Daemon } from './daemon.ts'
import type { Machine } from './machine.ts'

/** The machine at 172.18.10.95 that runs the real etcd. */
export class EtcdHost {
  readonly machine: Machine
  readonly daemon: Daemon

  constructor(machine: Machine) {
    this.machine = machine
    this.daemon = new Daemon(machine, 'etcd')
  }

  /** Starts etcd, with the data of its last run. */
  async start(): Promise<void> {
    const client = `http://${ETCD_IP}:2379`
    await this.daemon.start({
      argv: argv`etcd --name lab --data-dir ${this.machine.path('data')}
        --listen-client-urls ${client},http://127.0.0.1:2379 --advertise-client-urls ${client}
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380
        --initial-cluster lab=http://127.0.0.1:2380 --log-level warn --logger zap`,
      ready: async () => {
        await this.ctl('endpoint', 'health')
        return true
      },
    })
  }

  /** Ends etcd at once (SIGKILL); `start` brings it back with its data. */
  async kill(): Promise<void> {
    await this.daemon.kill('SIGKILL')
  }

  /** Stops the program where it is: connections stay open and nothing answers. */
  async pause(): Promise<void> {
    await this.daemon.kill('SIGSTOP')
  }

  async resume(): Promise<void> {
    await this.daemon.kill('SIGCONT')
  }

  /** Runs etcdctl there: `ctl('get', '--prefix', '/overlay-ts/')`. */
  async ctl(...args: string[]): Promise<string> {
    return this.machine.exec(['env', 'ETCDCTL_API=3', 'etcdctl', ...args])
  }

  /** All keys with their values, `key value`, one a line, sorted by key. */
  async text(prefix = '/'): Promise<string> {
    const { kvs = [] } = JSON.parse(await this.ctl('get', '--prefix', prefix, '-w', 'json')) as {
      kvs?: { key: string; value?: string }[]
    }
    const decode = (text: string): string => Buffer.from(text, 'base64').toString()
    return kvs
      .map(({ key, value = '' }) => `${decode(key)} ${decode(value)}`)
      .sort()
      .join('\n')
  }
}
