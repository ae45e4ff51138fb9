import { Stack } from '@mantine/core'

import type { Instance } from '../api/instances'
import { SpeechPane } from './SpeechPane'
import { TranscriptionPane } from './TranscriptionPane'

/** What an audio model can do: hear, speak, or both. */
export default function AudioPane({ instance }: { instance: Instance }) {
  const hears = instance.model_ability.includes('audio2text')
  const speaks = instance.model_ability.some((one) => one.startsWith('text2audio'))
  return (
    <Stack gap="xl">
      {(hears || !speaks) && <TranscriptionPane instance={instance} />}
      {speaks && <SpeechPane instance={instance} />}
    </Stack>
  )
}
