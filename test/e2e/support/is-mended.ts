import { waitFor } from '../../support/wait.ts'

/** Docker makes its chains while the plugin makes its rules: what that disturbs must be mended, by what the plugin's log says. */
export async function isMended(log: () => string): Promise<void> {
  await waitFor(
    () => {
      const trouble = log().lastIndexOf('the host is not as it should be')
      return trouble < 0 || log().includes('the host is as it should be again', trouble)
    },
    { what: 'the host to be as it should be' },
  )
}
