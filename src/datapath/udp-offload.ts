import { isAtLeast } from './kernel-release.ts'

/** Whether one send is to carry many datagrams (UDP_SEGMENT): if the kernel does it well, always, never. */
export type UdpSegmentation = 'auto' | 'on' | 'off'

/** Whether one receive is to carry many datagrams (UDP_GRO): the same choice. */
export type UdpReceiveOffload = 'auto' | 'on' | 'off'

/**
 * Linux 7.0.0 to 7.1.4 gives datagrams a wrong length and checksum when all segments of a send are
 * equal (commit b10b446 "udp: gso", repaired by 78effd8 and 5f17ae0): through some drivers 2 Mbit/s are
 * left. A last segment of one byte avoids it, and resets the firmware of Broadcom's bnxt; so no.
 */
export function segmentsSoundly(kernelRelease: string): boolean {
  return !isAtLeast(kernelRelease, 7, 0) || isAtLeast(kernelRelease, 7, 1, 5)
}

/** Before Linux 5.12 joined datagrams were at times delivered wrong (wireguard-go asks for it too). */
export function joinsSoundly(kernelRelease: string): boolean {
  return isAtLeast(kernelRelease, 5, 12)
}

/** @param soundly whether this kernel does it well */
export function isWanted(choice: 'auto' | 'on' | 'off', soundly: boolean): boolean {
  return choice === 'on' || (choice === 'auto' && soundly)
}
