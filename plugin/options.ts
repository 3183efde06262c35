import { OverlayError } from '../src/errors.ts'
import type { Log } from '../src/log.ts'
import { parseOverlayName } from '../src/store/overlay-name.ts'

type Options = Readonly<Record<string, string>>

/** What a user may write behind `-o` of `docker network create`. */
export interface NetworkOptionValues {
  /** null: the network's own name, once it is known. */
  readonly overlay: string | null
  readonly mtu: number | null
}

/** What a user may write behind `--ipam-opt`. */
export interface IpamOptionValues {
  readonly overlay: string | null
  readonly poolLength: number | null
  readonly subnetLength: number | null
}

const MTU_OF_DOCKER = 'com.docker.network.driver.mtu'

/** @throws OverlayError bad_input, unsupported */
export function readNetworkOptions(options: Options, log: Log): NetworkOptionValues {
  warnOfUnknown('-o', options, ['overlay', 'mtu', 'gateway'], log)
  if (options['gateway'] !== undefined && options['gateway'] !== 'docker') {
    throw new OverlayError(
      'unsupported',
      `-o gateway=${options['gateway']} is not supported: Docker's own gateway network (docker_gwbridge) carries the way out and published ports; leave the option out`,
    )
  }
  return {
    overlay: overlayOf(options),
    mtu: numberOf('-o mtu', mtuText(options)),
  }
}

/** The MTU of a network whose options were found right when it was made. */
export function mtuOption(options: Options): number | null {
  return numberOf('-o mtu', mtuText(options))
}

const mtuText = (options: Options): string | undefined => options['mtu'] ?? options[MTU_OF_DOCKER]

/** @throws OverlayError bad_input */
export function readIpamOptions(options: Options, log: Log): IpamOptionValues {
  warnOfUnknown('--ipam-opt', options, ['overlay', 'pool-len', 'subnet-len'], log)
  return {
    overlay: overlayOf(options),
    poolLength: lengthOf('pool-len', options),
    subnetLength: lengthOf('subnet-len', options),
  }
}

function overlayOf(options: Options): string | null {
  const name = options['overlay']
  return name === undefined ? null : parseOverlayName(name)
}

function lengthOf(name: string, options: Options): number | null {
  const length = numberOf(`--ipam-opt ${name}`, options[name])
  if (length === null || (length >= 8 && length <= 30)) return length
  throw new OverlayError(
    'bad_input',
    `--ipam-opt ${name}=${length} is not a prefix length from 8 to 30`,
  )
}

function numberOf(what: string, text: string | undefined): number | null {
  if (text === undefined) return null
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new OverlayError('bad_input', `${what}=${text} is not a number`)
}

/** Every release of Docker may add keys, so an unknown one is said and passed over. */
function warnOfUnknown(flag: string, options: Options, known: readonly string[], log: Log): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key) || key.startsWith('com.docker.')) continue
    log.warn(
      `${flag} ${key}= is not an option of overlay-ts (${known.join(', ')}) and has no effect`,
    )
  }
}
