/**
 * Whether a kernel is of that version or later. Distributions' and candidates' suffixes count for
 * nothing: 7.1.0-rc5-amd64 is 7.1.0, since what it holds beyond that is not in its name.
 * @param release as uname(2) gives it, such as "6.18.44" or "7.1-rc5"
 */
export function isAtLeast(release: string, major: number, minor: number, patch = 0): boolean {
  const [, a = 0, b = 0, c = 0] = (/^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release) ?? []).map(Number)
  const own = [a, b, Number.isNaN(c) ? 0 : c]
  for (const [index, wanted] of [major, minor, patch].entries()) {
    if (own[index] !== wanted) return own[index]! > wanted
  }
  return true
}
