/** Words that other programs use too: a name like them is no sign of a slip. */
const COMMON = new Set([
  'IFACE',
  'HOST_IP',
  'NETWORK',
  'WORKERS',
  'SOCKET',
  'DOCKER_HOST',
  'LOG_LEVEL',
])

/** etcd's own client has variables so named. */
const ETCDCTL = 'ETCDCTL_'

/**
 * The variable that was probably meant by a name that is none of ours: the same letters in another
 * spelling (VXLANPORT, etcd_endpoints), or one letter off (ETCD_ENDPOINT), two in a long name.
 */
export function nearMiss(name: string, known: readonly string[]): string | null {
  if (known.includes(name) || name.startsWith(ETCDCTL)) return null
  const letters = lettersOf(name)
  const meant = known
    .filter((candidate) => !COMMON.has(candidate))
    .find((candidate) => {
      const wanted = lettersOf(candidate)
      return distance(letters, wanted) <= (wanted.length >= 10 ? 2 : wanted.length >= 7 ? 1 : 0)
    })
  return meant ?? null
}

function lettersOf(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '')
}

/** Levenshtein's distance: how many letters to add, drop or change. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      current.push(Math.min(replaced, previous[j]! + 1, current[j - 1]! + 1))
    }
    previous = current
  }
  return previous[b.length]!
}
