import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** Where a program finds what belongs to its host: one that runs in a container sees it elsewhere. */
export interface HostPaths {
  /** The kernel's settings; those below net/ are of the reader's own network namespace. */
  readonly procSys: string
  /** The host's /run. */
  readonly run: string
  /** Where a file is that the host itself knows by this path. */
  readonly of: (path: string) => string
}

/** Those of a program that runs on the host itself. */
export const OWN_PATHS: HostPaths = {
  procSys: '/proc/sys',
  run: '/run',
  of: (path) => path,
}

/**
 * Those of a program that finds the host's folders below `dir`: "/host" has the host's /run at
 * /host/run. Docker speaks of /run by its older name /var/run too, which is a link on every host.
 */
export function pathsBelow(dir: string): HostPaths {
  const of = (path: string): string => join(dir, path.replace(/^\/var\/run\//, '/run/'))
  return { procSys: of('/proc/sys'), run: of('/run'), of }
}

/**
 * The lock that all users of iptables on a host share (iptables(8), XTABLES_LOCKFILE); null before
 * the first of them has made it. The nft backend needs none.
 */
export function xtablesLock({ run }: HostPaths): string | null {
  const path = join(run, 'xtables.lock')
  return existsSync(path) ? path : null
}
