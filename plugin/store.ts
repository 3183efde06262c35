import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Log } from '../src/log.ts'
import { authorityOf } from '../src/net/authority.ts'
import { parseIp, type Ip } from '../src/net/ip.ts'
import { EmbeddedEtcd } from '../src/store/embedded-etcd.ts'
import { EtcdStore } from '../src/store/etcd.ts'
import { GatedStore } from '../src/store/gated-store.ts'
import type { Store } from '../src/store/store.ts'
import type { Config } from './config.ts'

export interface OpenedStore {
  readonly store: Store
  /** Starts the embedded etcd if no other is configured; returns at once. */
  start(): void
  close(): Promise<void>
}

/** The configured etcd, or the one this process starts. Opening it reaches nothing yet. */
export function openStore(config: Config, log: Log): OpenedStore {
  const { own } = config.etcd
  return own === null ? openGiven(config) : openOwn({ stateDir: config.stateDir, own }, log)
}

function openGiven(config: Config): OpenedStore {
  const { endpoints, tls, auth } = config.etcd
  const store = new EtcdStore({
    endpoints,
    ...(tls && {
      tls: {
        ca: tls.ca,
        ...(tls.cert !== undefined && { cert: tls.cert }),
        ...(tls.key !== undefined && { key: tls.key.reveal() }),
      },
    }),
    ...(auth && { auth: { user: auth.user, password: auth.password.reveal() } }),
  })
  return { store, start: () => undefined, close: () => store.close() }
}

function openOwn(
  { stateDir, own }: { stateDir: string; own: NonNullable<Config['etcd']['own']> },
  log: Log,
): OpenedStore {
  const embedded = new EmbeddedEtcd({ ...own, dataDir: join(stateDir, 'etcd'), log })
  const { port, others } = own
  const store = new GatedStore(new EtcdStore({ endpoints: [embedded.endpoint] }), embedded)
  return {
    store,
    start() {
      const door = others === null ? null : authorityOf(others.ip, port)
      log.info(
        door === null
          ? 'no ETCD_ENDPOINTS given: etcd runs here, for this host only (ETCD_LISTEN opens it to others)'
          : `no ETCD_ENDPOINTS given: etcd runs here, also for the other hosts at ${door}`,
      )
      if (others !== null && !others.tls?.clientCa) {
        log.warn(
          `ETCD_INSECURE=1: whoever reaches ${door} can read and change which host each container's packets go to`,
        )
      }
      embedded.start()
    },
    async close() {
      await store.close()
      await embedded.stop()
    },
  }
}

/** The endpoints that are given by number: no lease of another host may cover them. */
export function etcdAddresses({
  etcd: { endpoints, own },
}: {
  readonly etcd: Pick<Config['etcd'], 'endpoints' | 'own'>
}): Ip[] {
  // A URL has an IPv6 address in brackets (RFC 3986 section 3.2.2).
  const hosts = endpoints.map((endpoint) => new URL(endpoint).hostname.replace(/^\[(.*)\]$/, '$1'))
  if (own?.others) hosts.push(own.others.ip)
  return hosts.filter((host) => isIP(host) !== 0).map(parseIp)
}
