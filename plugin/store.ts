import { join } from 'node:path'
import { messageOf } from '../src/errors.ts'
import type { Log } from '../src/log.ts'
import { parseIpv4, type Ipv4 } from '../src/net/ipv4.ts'
import { isIPv4 } from 'node:net'
import { startEmbeddedEtcd, type EmbeddedEtcd } from '../src/store/embedded-etcd.ts'
import { EtcdStore } from '../src/store/etcd.ts'
import type { Store } from '../src/store/store.ts'
import type { Config } from './config.ts'

/** Where the embedded etcd of a host without ETCD_ENDPOINTS listens. */
const EMBEDDED = 'http://127.0.0.1:2379'

export interface OpenedStore {
  readonly store: Store
  /** Starts the embedded etcd if no other is configured; a given one is only connected to. */
  start(): Promise<void>
  close(): Promise<void>
}

/** The configured etcd, or the one this process starts. Opening it reaches nothing yet. */
export function openStore(config: Config, log: Log): OpenedStore {
  const { endpoints, tls, auth } = config.etcd
  const store = new EtcdStore({
    endpoints: endpoints.length > 0 ? endpoints : [EMBEDDED],
    ...(tls && {
      tls: {
        ca: tls.ca,
        ...(tls.cert !== undefined && { cert: tls.cert }),
        ...(tls.key !== undefined && { key: tls.key.reveal() }),
      },
    }),
    ...(auth && { auth: { user: auth.user, password: auth.password.reveal() } }),
  })
  let embedded: Promise<EmbeddedEtcd | null> = Promise.resolve(null)
  const startEmbedded = async (): Promise<EmbeddedEtcd | null> => {
    try {
      const etcd = await startEmbeddedEtcd({ dataDir: join(config.stateDir, 'etcd'), log })
      log.info({ endpoints: etcd.endpoints }, 'no ETCD_ENDPOINTS given: etcd runs embedded')
      return etcd
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'the embedded etcd does not run')
      return null
    }
  }
  return {
    store,
    async start() {
      if (endpoints.length === 0) embedded = startEmbedded()
      await embedded
    },
    async close() {
      await store.close()
      // One that is only coming up is waited for: it would outlive this process.
      await (await embedded)?.stop()
    },
  }
}

/** The endpoints that are given by number: no lease of another host may cover them. */
export function etcdAddresses(config: Config): Ipv4[] {
  return config.etcd.endpoints
    .map((endpoint) => new URL(endpoint).hostname)
    .filter((host) => isIPv4(host))
    .map(parseIpv4)
}
