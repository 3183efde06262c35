/**
 * A command line as it is typed, for programs started without a shell: white space in the literal parts separates words,
 * a value is never split, and a list stands for several words.
 *
 *     argv`ip -n ${netns} link set ${port} mtu ${1500} ${['master', 'br0']}`
 */
export function argv(
  literals: TemplateStringsArray,
  ...values: readonly (string | number | readonly string[])[]
): string[] {
  const words: string[] = []
  let open: string | undefined
  const close = (): void => {
    if (open !== undefined) words.push(open)
    open = undefined
  }
  literals.forEach((literal, index) => {
    literal.split(/(\s+)/).forEach((piece) => {
      if (piece === '') return
      if (/^\s/.test(piece)) close()
      else open = (open ?? '') + piece
    })
    const value = values[index]
    if (value === undefined) return
    if (typeof value === 'object') words.push(...value)
    else open = `${open ?? ''}${value}`
  })
  close()
  return words
}
