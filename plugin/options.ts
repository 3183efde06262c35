import type { Network } from '../src/control/journal.ts'
import { OverlayError } from '../src/errors.ts'
import { MAX_VNI, type Vni } from '../src/net/vni.ts'
import { parseOverlayName } from '../src/store/overlay-name.ts'
import { nearMiss } from './near-miss.ts'

type Options = Readonly<Record<string, string>>

/** The flags of `docker network create` behind which options of ours stand. */
export type OptionFlag = '-o' | '--ipam-opt'

/** The names of all options, as the user of Docker writes them. */
export const OPTION_NAMES: Readonly<Record<OptionFlag, readonly string[]>> = {
  '-o': ['overlay', 'vni', 'mtu', 'gateway', 'subnet-len'],
  '--ipam-opt': ['overlay', 'vni', 'pool-len', 'subnet-len'],
}

/** What a user may write behind `-o` of `docker network create`. */
export interface NetworkOptionValues {
  /** null: the network's own name, once it is known. */
  readonly overlay: string | null
  /** Of a new overlay, or what an existing one must have. */
  readonly vni: Vni | null
  readonly mtu: number | null
  readonly egress: Network['egress']
  readonly subnetLength: number | null
}

/** What a user may write behind `--ipam-opt`. */
export interface IpamOptionValues {
  readonly overlay: string | null
  /** Of a new overlay, or what an existing one must have. */
  readonly vni: Vni | null
  readonly poolLength: number | null
  readonly subnetLength: number | null
}

const MTU_OF_DOCKER = 'com.docker.network.driver.mtu'

/** @throws OverlayError bad_input, unsupported */
export function readNetworkOptions(options: Options): NetworkOptionValues {
  const gateway = options['gateway'] ?? 'docker'
  if (gateway !== 'docker' && gateway !== 'bridge') {
    throw new OverlayError(
      'bad_input',
      `-o gateway=${gateway} is no gateway: write -o gateway=docker or -o gateway=bridge, or leave the option out (the address of the bridge is --gateway)`,
    )
  }
  return {
    overlay: overlayOf(options),
    vni: vniOf('-o', options),
    mtu: mtuOption(options),
    egress: egressOption(options),
    subnetLength: lengthOf('-o', 'subnet-len', options),
  }
}

/** The MTU of a network whose options were found right when it was made. */
export function mtuOption(options: Options): number | null {
  return numberOf('-o mtu', options['mtu'] ?? options[MTU_OF_DOCKER])
}

/** Whose the way out of a network is whose options were found right when it was made. */
export const egressOption = (options: Options): Network['egress'] =>
  options['gateway'] === 'bridge' ? 'bridge' : 'docker'

/** @throws OverlayError bad_input */
export function readIpamOptions(options: Options): IpamOptionValues {
  return {
    overlay: overlayOf(options),
    vni: vniOf('--ipam-opt', options),
    poolLength: lengthOf('--ipam-opt', 'pool-len', options),
    subnetLength: lengthOf('--ipam-opt', 'subnet-len', options),
  }
}

/**
 * Refuses a key that is neither ours nor Docker's own (each release of Docker may add some, all of them
 * `com.docker.…`). Asked only where a user has just typed it, never of a network that exists.
 * @throws OverlayError bad_input that names the options there are
 */
export function refuseUnknownOptions(flag: OptionFlag, options: Options): void {
  const known = OPTION_NAMES[flag]
  const other = flag === '-o' ? '--ipam-opt' : '-o'
  for (const key of Object.keys(options)) {
    if (known.includes(key) || key.startsWith('com.docker.')) continue
    const meant = nearMiss(key, known)
    const hint = OPTION_NAMES[other].includes(key)
      ? `write it behind the other flag: ${other} ${key}=`
      : meant !== null
        ? `did you mean ${flag} ${meant}=?`
        : 'leave it out'
    throw new OverlayError(
      'bad_input',
      `overlay-ts has no option ${flag} ${key}=; ${hint} (the options of ${flag} are ${known.join(', ')})`,
    )
  }
}

function overlayOf(options: Options): string | null {
  const name = options['overlay']
  return name === undefined ? null : parseOverlayName(name)
}

function vniOf(flag: OptionFlag, options: Options): Vni | null {
  const vni = numberOf(`${flag} vni`, options['vni'])
  if (vni === null || (vni >= 1 && vni <= MAX_VNI)) return vni
  throw new OverlayError(
    'bad_input',
    `${flag} vni=${vni} is not a VXLAN network identifier; give a number from 1 to ${MAX_VNI}`,
  )
}

function lengthOf(flag: OptionFlag, name: string, options: Options): number | null {
  const length = numberOf(`${flag} ${name}`, options[name])
  if (length === null || (length >= 8 && length <= 30)) return length
  throw new OverlayError(
    'bad_input',
    `${flag} ${name}=${length} is not a prefix length; give one from 8 to 30`,
  )
}

function numberOf(what: string, text: string | undefined): number | null {
  if (text === undefined) return null
  if (/^\d{1,8}$/.test(text)) return Number(text)
  throw new OverlayError('bad_input', `${what}=${text} is not a number; write digits alone`)
}
