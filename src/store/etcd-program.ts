import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { messageOf, OverlayError } from '../errors.ts'

/**
 * All that a program of ours finds in its environment. etcd takes a flag from each variable that begins
 * with ETCD_ and prints those that it does not know; ours are called so too, the password among them.
 */
export const ETCD_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
}

/** The oldest that has our flags, and its lease's time kept over a restart. */
const OLDEST = { major: 3, minor: 4 }
const ANSWER_MS = 10_000

/** The version of the etcd program. @throws OverlayError host_state when it is missing or too old */
export async function etcdVersion(program: string): Promise<string> {
  const wanted =
    'install etcd 3.4 or newer (Debian: apt-get install etcd-server), or set ETCD_ENDPOINTS to an etcd that runs'
  let printed: string
  try {
    const options = { env: ETCD_ENVIRONMENT, timeout: ANSWER_MS }
    printed = (await promisify(execFile)(program, ['--version'], options)).stdout
  } catch (error) {
    throw new OverlayError(
      'host_state',
      `the program ${program} cannot be started (${messageOf(error)}): ${wanted}`,
      { cause: error },
    )
  }
  const [, version, major, minor] = /etcd Version: ((\d+)\.(\d+)\.\S+)/.exec(printed) ?? []
  const tooOld =
    Number(major) < OLDEST.major || (Number(major) === OLDEST.major && Number(minor) < OLDEST.minor)
  if (version === undefined || tooOld) {
    throw new OverlayError(
      'host_state',
      `the program ${program} says that it is "${version ?? printed.split('\n')[0]}": ${wanted}`,
    )
  }
  return version
}
