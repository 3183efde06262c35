import type { Config } from './config.ts'

/**
 * The effective configuration as aligned text, a line for each variable:
 *
 *     NETWORK      10.64.0.0/12
 *     VXLAN_PORT   8472                (default)
 */
export function describeConfig(config: Config): string {
  const { effective } = config
  const nameWidth = Math.max(...effective.map(({ name }) => name.length))
  const valueWidth = Math.max(
    ...effective.filter(({ isDefault }) => isDefault).map(({ value }) => value.length),
  )
  const lines = effective.map(({ name, value, isDefault }) => {
    const start = `${name.padEnd(nameWidth)}  `
    return isDefault ? `${start}${value.padEnd(valueWidth)}  (default)` : start + value
  })
  return `${lines.join('\n')}\n`
}
