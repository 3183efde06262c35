import { OverlayError } from '../src/errors.ts'

/** The lab's underlay. */
export const UNDERLAY_PREFIX_LENGTH = 24
export const GATEWAY = '172.18.10.1'
export const ETCD_IP = '172.18.10.95'
export const ETCD_ENDPOINT = `http://${ETCD_IP}:2379`

/** A Docker host is named for the last byte of its address: "96" is 172.18.10.96. @throws OverlayError bad_input */
export function hostIp(name: string): string {
  const last = Number(name)
  if (!/^[1-9]\d*$/.test(name) || last < 2 || last > 254 || last === 95) {
    throw new OverlayError(
      'bad_input',
      `"${name}" is no name of a lab host: give the last byte of its address, 2 to 254 and not 95 (etcd)`,
    )
  }
  return `172.18.10.${last}`
}

/** A fixed, locally administered MAC, so that two captures of one lab look alike. */
export function macOf(ip: string): string {
  const bytes = ip.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'))
  return `02:00:${bytes.join(':')}`
}
