import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { messageOf } from '../src/errors.ts'
import { authorityOf } from '../src/net/authority.ts'
import type { EtcdListenFiles, EtcdPlace } from '../src/store/etcd-flags.ts'
import type { SettingName, SettingValues } from './settings.ts'

/** The doors of the etcd that this process starts. */
export type OwnEtcd = Pick<EtcdPlace, 'port' | 'others'>

const PORT = 2379

/** Settings that say how another etcd is entered; ours knows no users, and is asked on loopback. */
const OF_OTHERS = [
  'ETCD_CACERT',
  'ETCD_CERT',
  'ETCD_KEY',
  'ETCD_USER',
  'ETCD_USER_FILE',
  'ETCD_PASSWORD',
  'ETCD_PASSWORD_FILE',
] as const satisfies readonly SettingName[]

const FILES = ['ETCD_LISTEN_CERT', 'ETCD_LISTEN_KEY', 'ETCD_LISTEN_CACERT'] as const

/** Values that parsed; a wrong one is missing. */
type Readable = { readonly [Name in SettingName]?: SettingValues[Name] }

/** The own etcd's doors, or null with ETCD_ENDPOINTS; what contradicts itself goes to the problems. */
export function ownEtcdOf(values: Readable, problems: string[]): OwnEtcd | null {
  const { ETCD_ENDPOINTS: endpoints, ETCD_LISTEN: listen } = values
  const complain = (name: SettingName, what: string): void => {
    // One line for each variable is enough.
    if (!problems.some((line) => line.startsWith(`${name}: `))) problems.push(`${name}: ${what}`)
  }
  if (endpoints && listen) {
    complain(
      'ETCD_LISTEN',
      'opens the etcd that this host starts when it is given none, but ETCD_ENDPOINTS names one; set only one of them',
    )
  }
  for (const name of endpoints === null ? OF_OTHERS : []) {
    if (values[name]) {
      complain(
        name,
        "is of use only with ETCD_ENDPOINTS, found none; this host's own etcd is used without it",
      )
    }
  }
  const openTo = listen && listen.host !== '127.0.0.1' ? listen : null
  for (const name of openTo || listen === undefined ? [] : FILES) {
    if (values[name]) complain(name, 'is of use only with an ETCD_LISTEN that other hosts reach')
  }
  if (endpoints) return null
  if (!openTo) return { port: listen?.port ?? PORT, others: null }
  const door = authorityOf(openTo.host, openTo.port)
  const tls = filesOf(values, openTo.host, door, complain)
  return { port: openTo.port, others: { ip: openTo.host, tls } }
}

function filesOf(
  values: Readable,
  ip: string,
  door: string,
  complain: (name: SettingName, what: string) => void,
): EtcdListenFiles | null {
  const { ETCD_LISTEN_CERT: cert, ETCD_LISTEN_KEY: key, ETCD_LISTEN_CACERT: clientCa } = values
  const isAllowed = values.ETCD_INSECURE === '1'
  const danger = `whoever reaches ${door} could read and change which host each container's packets go to`
  if (!cert && !key && !clientCa) {
    if (!isAllowed && cert === null && key === null && clientCa === null) {
      complain(
        'ETCD_LISTEN',
        `${danger}: set ETCD_LISTEN_CERT, ETCD_LISTEN_KEY and ETCD_LISTEN_CACERT, which let in only hosts with a certificate, or ETCD_INSECURE=1 in a network that nobody else reaches`,
      )
    }
    return null
  }
  for (const name of ['ETCD_LISTEN_CERT', 'ETCD_LISTEN_KEY'] as const) {
    if (values[name] === null) complain(name, `wanted for TLS at ${door}, found nothing`)
  }
  if (clientCa === null && !isAllowed) {
    complain(
      'ETCD_LISTEN_CACERT',
      `wanted, since without it ${danger}; found neither this nor ETCD_INSECURE=1`,
    )
  }
  if (!cert || !key) return null
  checkPair(cert, key, ip, complain)
  if (clientCa) certificateIn('ETCD_LISTEN_CACERT', clientCa, complain)
  return { cert, key, clientCa: clientCa ?? null }
}

/** What etcd would only say once it runs, or the other hosts once they are turned away. */
function checkPair(
  certPath: string,
  keyPath: string,
  ip: string,
  complain: (name: SettingName, what: string) => void,
): void {
  const cert = certificateIn('ETCD_LISTEN_CERT', certPath, complain)
  if (cert === null) return
  const names = cert.subjectAltName ?? ''
  // One with names in place of addresses is for hosts that use those.
  if (!names.includes('DNS:') && cert.checkIP(ip) === undefined) {
    complain(
      'ETCD_LISTEN_CERT',
      `found a certificate for ${names || 'no address'}, wanted one whose subjectAltName has IP:${ip}`,
    )
  }
  try {
    if (cert.checkPrivateKey(createPrivateKey(readFileSync(keyPath)))) return
    complain('ETCD_LISTEN_KEY', 'found a key of another certificate than ETCD_LISTEN_CERT')
  } catch (error) {
    complain('ETCD_LISTEN_KEY', `found no private key (PEM) in ${keyPath} (${messageOf(error)})`)
  }
}

function certificateIn(
  name: SettingName,
  path: string,
  complain: (name: SettingName, what: string) => void,
): X509Certificate | null {
  try {
    return new X509Certificate(readFileSync(path))
  } catch (error) {
    complain(name, `found no certificate (PEM) in ${path} (${messageOf(error)})`)
    return null
  }
}
