import type { OverlayRecord } from '../store/cluster-view.ts'

/**
 * The command with which a host joins an overlay that exists, for an error's last words.
 * @param flags more of it, "--ipv6"
 */
export function joinCommand(overlay: Pick<OverlayRecord, 'name' | 'pool'>, flags = ''): string {
  const ipam = overlay.pool
    ? ` --ipam-driver overlay-ts --ipam-opt overlay=${overlay.name}`
    : ` -o overlay=${overlay.name}`
  return `docker network create -d overlay-ts${ipam}${flags && ` ${flags}`} ${overlay.name}`
}
