import { noop } from 'cockatiel'
import { Etcd3, type IOptions, type IWatchRequest, type IWatchResponse } from 'etcd3'

/** Where etcd is and who we are to it. Certificates and keys are PEM texts. */
export interface EtcdOptions {
  /** "http://172.18.10.95:2379"; all of one cluster. */
  readonly endpoints: readonly string[]
  /** For https endpoints; without it the system's authorities are trusted. */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string }
  readonly auth?: { readonly user: string; readonly password: string }
}

/** The bidirectional stream of etcd's Watch service. */
export interface WatchStream {
  write(request: IWatchRequest): void
  cancel(): void
  on(event: 'data', listener: (response: IWatchResponse) => void): this
  on(event: 'error', listener: (error: Error) => void): this
  on(event: 'end', listener: () => void): this
}

/**
 * etcd drops clients that ping more often than every 5 s, or without a stream open, so we do
 * neither; a dead peer is noticed after 10 + 5 s.
 */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.max_reconnect_backoff_ms': 2000,
  // One range read carries the whole map; gRPC's own limit of 4 MB is 10,000 keys.
  'grpc.max_receive_message_length': -1,
}

function optionsFor(endpoint: string, options: EtcdOptions, callMs: number): IOptions {
  const { tls, auth } = options
  const chain = tls?.cert !== undefined && tls.key !== undefined
  return {
    hosts: [endpoint],
    grpcOptions: CHANNEL_OPTIONS,
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + callMs }),
    // Retries and failover are EtcdStore's; etcd3's would repeat writes whose answer was lost.
    faultHandling: { host: () => noop, global: noop },
    ...(tls && endpoint.startsWith('https:')
      ? {
          credentials: {
            rootCertificate: Buffer.from(tls.ca),
            ...(chain && {
              certChain: Buffer.from(tls.cert ?? ''),
              privateKey: Buffer.from(tls.key ?? ''),
            }),
          },
        }
      : {}),
    ...(auth && { auth: { username: auth.user, password: auth.password } }),
  }
}

/** One etcd member. */
export class EtcdClient extends Etcd3 {
  readonly endpoint: string

  /** @param callMs how long one call may take */
  constructor(endpoint: string, options: EtcdOptions, callMs: number) {
    super(optionsFor(endpoint, options, callMs))
    this.endpoint = endpoint
  }

  /**
   * A watch stream that the member ends when it loses its leader (clientv3 WithRequireLeader):
   * without that, a member cut off from its cluster keeps a silent watch open for ever.
   */
  openWatch(): Promise<WatchStream> {
    return this.pool.withConnection('Watch', ({ client, metadata }) => {
      const demanding = metadata.clone()
      demanding.set('hasleader', 'true')
      return (client as unknown as { watch(metadata: unknown): WatchStream }).watch(demanding)
    })
  }
}
