import { join } from 'node:path'
import { authorityOf } from '../net/authority.ts'

/** Files (PEM) by which an etcd shows who it is and whom it lets in. */
export interface EtcdListenFiles {
  readonly cert: string
  readonly key: string
  /** Authorities of the clients' certificates; null lets everybody in, encrypted. */
  readonly clientCa: string | null
}

/** Where an etcd of our own has its data and its doors. */
export interface EtcdPlace {
  /** Folder of its data and of its process id. */
  readonly dataDir: string
  /** On 127.0.0.1, which this host itself uses. */
  readonly port: number
  /** A second door, on an address of the underlay at the same port, for other hosts; null for none. */
  readonly others: { readonly ip: string; readonly tls: EtcdListenFiles | null } | null
  /** Bytes that its database may take. */
  readonly quotaBytes: number
}

/** A single member talks to no peer; its peer listener takes any port and this one is only a name. */
const PEER_NAME = 'http://127.0.0.1:2380'

export const loopbackUrl = ({ port }: Pick<EtcdPlace, 'port'>): string => `http://127.0.0.1:${port}`

/** The flag by which a process is known to be the etcd of this folder. */
export const dataFlag = (dataDir: string): string => `--data-dir=${join(dataDir, 'data')}`

/** The command line of a cluster of one, in words that etcd 3.4, 3.5 and 3.6 know. */
export function etcdFlags({ dataDir, port, others, quotaBytes }: EtcdPlace): string[] {
  const tls = others?.tls ?? null
  const urls = [loopbackUrl({ port })]
  if (others !== null)
    urls.push(`${tls === null ? 'http' : 'https'}://${authorityOf(others.ip, port)}`)
  return [
    '--name=overlay-ts',
    dataFlag(dataDir),
    `--listen-client-urls=${urls.join(',')}`,
    `--advertise-client-urls=${urls.join(',')}`,
    '--listen-peer-urls=http://127.0.0.1:0',
    `--initial-advertise-peer-urls=${PEER_NAME}`,
    `--initial-cluster=overlay-ts=${PEER_NAME}`,
    ...(tls === null ? [] : [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`]),
    ...(tls?.clientCa ? ['--client-cert-auth=true', `--trusted-ca-file=${tls.clientCa}`] : []),
    // A second way in, as HTTP, which nobody needs.
    '--enable-grpc-gateway=false',
    '--auto-compaction-mode=periodic',
    '--auto-compaction-retention=1h',
    `--quota-backend-bytes=${quotaBytes}`,
    '--logger=zap',
    '--log-outputs=stderr',
    '--log-level=warn',
  ]
}
