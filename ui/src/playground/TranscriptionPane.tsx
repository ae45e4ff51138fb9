import { Button, Checkbox, FileInput, Group, NativeSelect, Paper, Table, Text } from '@mantine/core'
import { useState } from 'react'

import { transcribe } from '../api/audio'
import type { Transcript } from '../api/audio'
import type { Instance } from '../api/instances'
import { useEngineDetails } from '../api/queries'
import { formatClock, nameOfLanguage } from '../format'
import { useI18n } from '../i18n'
import { CopyButton } from '../shell/CopyButton'
import { ErrorAlert } from '../shell/ErrorAlert'
import { MicrophoneIcon } from '../shell/icons'
import { PaneForm } from './PaneForm'
import { useCall } from './useCall'
import { useObjectUrl } from './useObjectUrl'
import { useRecorder } from './useRecorder'

const TASKS = ['transcriptions', 'translations'] as const

/** A sound, from a file or the microphone, written down. */
export function TranscriptionPane({ instance }: { instance: Instance }) {
  const { t, language: own } = useI18n()
  const { data: details = {} } = useEngineDetails(instance)
  const languages = details.languages ?? []
  const [sound, setSound] = useState<File | null>(null)
  const [task, setTask] = useState<(typeof TASKS)[number]>('transcriptions')
  const [language, setLanguage] = useState('')
  const [times, setTimes] = useState(false)
  const call = useCall<Transcript>()
  const recorder = useRecorder(setSound)
  const url = useObjectUrl(sound)
  const path = `audio/${task}`
  const body = {
    model: instance.model_uid,
    ...(language && task === 'transcriptions' ? { language } : {}),
    response_format: times ? 'verbose_json' : 'json',
  }

  return (
    <>
      <PaneForm
        {...call}
        progress
        request={{ path, body: { ...body, file: sound?.name ?? 'speech.wav' }, files: ['file'] }}
        submit={t('audio.transcribe')}
        disabled={!sound}
        onSubmit={() => {
          if (sound) call.start((signal, id) => transcribe(path, body, sound, signal, id))
        }}
        onStop={call.stop}
      >
        <Group align="flex-end">
          <FileInput
            label={t('audio.file')}
            placeholder={t('audio.choose')}
            accept="audio/*,video/*"
            value={sound}
            onChange={setSound}
            flex={1}
            miw={200}
          />
          {recorder.available && (
            <Button
              variant={recorder.seconds === null ? 'default' : 'filled'}
              color="red"
              leftSection={<MicrophoneIcon />}
              onClick={recorder.seconds === null ? recorder.start : recorder.stop}
            >
              {t(recorder.seconds === null ? 'audio.record' : 'audio.record.stop')}
            </Button>
          )}
        </Group>
        {recorder.seconds !== null && (
          <Text fz="sm" role="timer">
            {t('audio.record.seconds', { seconds: recorder.seconds })}
          </Text>
        )}
        <ErrorAlert error={recorder.error} />
        {url && <audio controls src={url} aria-label={t('audio.recorded')} />}
        <Group align="flex-end">
          {languages.length > 1 && (
            <NativeSelect
              label={t('audio.task')}
              value={task}
              onChange={(event) => setTask(event.currentTarget.value as typeof task)}
              data={TASKS.map((one) => ({ value: one, label: t(`audio.task.${one}`) }))}
            />
          )}
          {languages.length > 1 && (
            <NativeSelect
              label={t('audio.language')}
              value={language}
              disabled={task === 'translations'}
              onChange={(event) => setLanguage(event.currentTarget.value)}
              data={[
                { value: '', label: t('audio.language.found') },
                ...languages.map((code) => ({ value: code, label: nameOfLanguage(code, own) })),
              ]}
            />
          )}
          <Checkbox
            label={t('audio.times')}
            checked={times}
            onChange={(event) => setTimes(event.currentTarget.checked)}
            mb={8}
          />
        </Group>
      </PaneForm>
      {call.result && <Heard {...call.result} />}
    </>
  )
}

function Heard({ text, segments = [] }: Transcript) {
  const { t } = useI18n()
  return (
    <Paper withBorder p="md" role="region" aria-label={t('audio.text')}>
      <Group justify="space-between" wrap="nowrap" align="flex-start">
        <Text style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }} c={text ? undefined : 'dimmed'}>
          {text || t('audio.text.none')}
        </Text>
        {text && <CopyButton text={text} label={t('audio.copy')} />}
      </Group>
      {segments.length > 0 && (
        <Table mt="sm">
          <Table.Tbody>
            {segments.map((one, index) => (
              <Table.Tr key={index}>
                <Table.Td w={140} c="dimmed" ff="monospace" fz="sm" style={{ whiteSpace: 'nowrap' }}>
                  {formatClock(one.start)} – {formatClock(one.end)}
                </Table.Td>
                <Table.Td>{one.text}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Paper>
  )
}
