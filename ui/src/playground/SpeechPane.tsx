import { Anchor, Group, NativeSelect, NumberInput, Textarea, TextInput } from '@mantine/core'
import { useState } from 'react'

import { speak } from '../api/audio'
import type { Instance } from '../api/instances'
import { useEngineDetails } from '../api/queries'
import { useI18n } from '../i18n'
import { PaneForm } from './PaneForm'
import { useCall } from './useCall'
import { useObjectUrl } from './useObjectUrl'

const FORMATS = ['wav', 'mp3', 'flac', 'opus']

/** A text, spoken. */
export function SpeechPane({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const { data: details = {} } = useEngineDetails(instance)
  const voices = details.voices ?? []
  const [input, setInput] = useState('')
  const [voice, setVoice] = useState('')
  const [format, setFormat] = useState('wav')
  const [speed, setSpeed] = useState(1)
  const call = useCall<{ sound: Blob; format: string }>()
  const url = useObjectUrl(call.result?.sound ?? null)
  const body = { model: instance.model_uid, input, voice, response_format: format, speed }
  const ofVoice = {
    label: t('audio.voice'),
    value: voice,
    onChange: (event: { currentTarget: { value: string } }) => setVoice(event.currentTarget.value),
  }

  return (
    <>
      <PaneForm
        {...call}
        progress
        request={{ path: 'audio/speech', body, output: `speech.${format}` }}
        submit={t('audio.speak')}
        disabled={!input.trim()}
        onSubmit={() =>
          call.start(async (signal, id) => ({ sound: await speak(body, signal, id), format }))
        }
        onStop={call.stop}
      >
        <Textarea
          label={t('audio.input')}
          value={input}
          onChange={(event) => setInput(event.currentTarget.value)}
          autosize
          minRows={3}
          maxRows={10}
        />
        <Group>
          {voices.length > 0 ? (
            <NativeSelect
              {...ofVoice}
              data={[{ value: '', label: t('chat.modelsOwn') }, ...voices]}
            />
          ) : (
            <TextInput {...ofVoice} placeholder={t('chat.modelsOwn')} />
          )}
          <NativeSelect
            label={t('audio.format')}
            value={format}
            onChange={(event) => setFormat(event.currentTarget.value)}
            data={FORMATS}
          />
          <NumberInput
            label={t('audio.speed')}
            value={speed}
            onChange={(value) => setSpeed(Number(value) || 1)}
            min={0.25}
            max={4}
            step={0.25}
            w={120}
          />
        </Group>
      </PaneForm>
      {url && call.result && (
        <Group>
          <audio controls src={url} aria-label={t('audio.spoken')} />
          <Anchor href={url} download={`speech.${call.result.format}`}>
            {t('audio.save')}
          </Anchor>
        </Group>
      )}
    </>
  )
}
