import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cached } from './cache.ts'
import { command } from './command.ts'

/** The image that every lab host has; it serves the pages below until it is killed. */
export const IMAGE = 'overlay-lab:latest'

/** Port of the TCP and UDP services that answer with the address they were asked from. */
export const PEER_PORT = 7

/** What `docker import` adds to the archive. */
export const IMAGE_CHANGES = ['CMD ["/bin/serve"]']

/**
 * A shell command that asks the UDP service at `address:port` or `[address]:port`, and ends with the answer, or after
 * so many seconds without one. socat by itself waits half a second for an answer once it has nothing more to say.
 */
export const udpQuestion = (to: string, seconds: number | string): string =>
  `echo | socat -t ${seconds} -T ${seconds} - "UDP${to.startsWith('[') ? 6 : 4}:${to},null-eof"`

const PROGRAMS = ['/usr/bin/iperf3', '/usr/bin/sockperf', '/usr/bin/socat']

const SERVE = `#!/bin/sh
# GET /cgi-bin/peer gives the caller's address, GET /cgi-bin/name this container's host name; TCP and UDP port ${PEER_PORT}, over IPv6 too, the caller's address.
socat TCP4-LISTEN:${PEER_PORT},fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR' &
# The shell reads the question: socat gives up on one that ended before it had passed the datagram on.
# One datagram is all that comes, and the shell has 30 s to answer it; an empty one then says that it did.
socat -t 30 UDP4-RECVFROM:${PEER_PORT},fork,shut-null SYSTEM:'read _; echo $SOCAT_PEERADDR' &
socat TCP6-LISTEN:${PEER_PORT},fork,reuseaddr,ipv6only=1 SYSTEM:'echo $SOCAT_PEERADDR' &
socat -t 30 UDP6-RECVFROM:${PEER_PORT},fork,shut-null,ipv6only=1 SYSTEM:'read _; echo $SOCAT_PEERADDR' &
httpd -f -p 0.0.0.0:80 -h /www &
# Process 1 ends on no signal but those it handles.
trap 'exit 0' TERM INT
wait
`
const cgi = (line: string): string => `#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
${line}
`
const FILES: Readonly<Record<string, string>> = {
  '/bin/serve': SERVE,
  '/www/cgi-bin/peer': cgi('echo "$REMOTE_ADDR"'),
  '/www/cgi-bin/name': cgi('hostname'),
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
  '/etc/group': 'root:x:0:\n',
}

/**
 * The path of a tar archive with the image's root file system, made of this machine's own busybox, iperf3,
 * sockperf and socat, once for each version of them.
 */
export async function imageArchive(): Promise<string> {
  const parts = ['/bin/busybox', ...PROGRAMS].map((path) => {
    const { size, mtimeMs } = statSync(path)
    return [path, size, mtimeMs]
  })
  const version = createHash('sha256')
    .update(JSON.stringify([parts, FILES]))
    .digest('hex')
  return cached(`${version.slice(0, 16)}.tar`, async (archive) => {
    const root = `${archive}-root`
    await fillRoot(root)
    await command(['tar', '-C', root, '-cf', archive, '.'])
  })
}

async function fillRoot(root: string): Promise<void> {
  for (const dir of ['bin', 'proc', 'sys', 'dev', 'tmp', 'root']) {
    mkdirSync(join(root, dir), { recursive: true })
  }
  chmodSync(join(root, 'tmp'), 0o1777)
  copyInto(root, '/bin/busybox')
  for (const applet of (await command(['/bin/busybox', '--list'])).split('\n')) {
    if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet))
  }
  for (const program of PROGRAMS) {
    copyInto(root, program)
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)" and "/lib64/ld-linux-x86-64.so.2 (0x…)"
    const libraries = (await command(['ldd', program])).matchAll(/(\/\S+) \(0x/g)
    for (const [, library] of libraries) copyInto(root, library!)
  }
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    writeFileSync(join(root, path), text, { mode: 0o755 })
  }
}

function copyInto(root: string, path: string): void {
  mkdirSync(join(root, dirname(path)), { recursive: true })
  copyFileSync(path, join(root, path))
}
