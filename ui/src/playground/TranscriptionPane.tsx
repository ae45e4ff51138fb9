import { Button, FileInput, Group, Paper, Text, TextInput } from '@mantine/core'
import { useEffect, useState } from 'react'

import { transcribe } from '../api/audio'
import type { Instance } from '../api/instances'
import { useI18n } from '../i18n'
import { CopyButton } from '../shell/CopyButton'
import { ErrorAlert } from '../shell/ErrorAlert'
import { MicrophoneIcon } from '../shell/icons'
import { PaneForm } from './PaneForm'
import { useCall } from './useCall'
import { useRecorder } from './useRecorder'
import { toWav } from './wav'

/** A sound, from a file or the microphone, written down. */
export function TranscriptionPane({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const [sound, setSound] = useState<Blob | null>(null)
  const [language, setLanguage] = useState('')
  const call = useCall<string>()
  const recorder = useRecorder(setSound)
  const url = useObjectUrl(sound)
  const body = { model: instance.model_uid, ...(language ? { language } : {}) }

  return (
    <>
      <PaneForm
        {...call}
        request={{
          path: 'audio/transcriptions',
          body: { ...body, file: 'audio.wav' },
          files: ['file'],
        }}
        submit={t('audio.transcribe')}
        disabled={!sound}
        onSubmit={() => {
          if (!sound) return
          call.start(async (signal) => transcribe(body, await toWav(sound), signal))
        }}
        onStop={call.stop}
      >
        <Group align="flex-end">
          <FileInput
            label={t('audio.file')}
            placeholder={t('audio.choose')}
            accept="audio/*"
            value={sound instanceof File ? sound : null}
            onChange={setSound}
            flex={1}
            miw={200}
          />
          {recorder.available && (
            <Button
              variant="default"
              leftSection={<MicrophoneIcon />}
              color={recorder.recording ? 'red' : undefined}
              onClick={recorder.recording ? recorder.stop : recorder.start}
            >
              {t(recorder.recording ? 'audio.record.stop' : 'audio.record')}
            </Button>
          )}
        </Group>
        <ErrorAlert error={recorder.error} />
        {url && <audio controls src={url} aria-label={t('audio.recorded')} />}
        <TextInput
          label={t('audio.language')}
          placeholder="en"
          value={language}
          onChange={(event) => setLanguage(event.currentTarget.value)}
          w={200}
        />
      </PaneForm>
      {call.result !== null && (
        <Paper withBorder p="md" role="region" aria-label={t('audio.text')}>
          <Group justify="space-between" wrap="nowrap" align="flex-start">
            <Text style={{ whiteSpace: 'pre-wrap' }}>{call.result}</Text>
            <CopyButton text={call.result} />
          </Group>
        </Paper>
      )}
    </>
  )
}

/** An address for a file, for as long as it is shown. */
export function useObjectUrl(file: Blob | null): string | null {
  const [url, setUrl] = useState<string | null>(null)
  useEffect(() => {
    if (!file) {
      setUrl(null)
      return
    }
    const own = URL.createObjectURL(file)
    setUrl(own)
    return () => URL.revokeObjectURL(own)
  }, [file])
  return url
}
