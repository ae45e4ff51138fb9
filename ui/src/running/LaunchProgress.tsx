import { Group, Progress, Stack, Text } from '@mantine/core'

import type { DownloadFile } from '../api/instances'
import { useProgress } from '../api/queries'
import { formatBytes, formatDuration } from '../format'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'

export function LaunchProgress({ uid }: { uid: string }) {
  const { t, label } = useI18n()
  const { data, error } = useProgress(uid)
  if (!data) return <ErrorAlert error={error} />
  const percent = Math.round(data.progress * 100)
  return (
    <Stack gap="xs">
      <div>
        <Group justify="space-between" mb={4}>
          <Text fz="sm">{label(`stage.${data.stage}`, data.stage)}</Text>
          <Text fz="sm" c="dimmed">
            {percent}%
          </Text>
        </Group>
        <Progress value={percent} aria-label={t('running.progress', { uid })} animated />
      </div>
      {data.download_files
        .filter((file) => file.status !== 'completed')
        .map((file) => (
          <FileProgress key={`${file.replica_id} ${file.name}`} file={file} />
        ))}
    </Stack>
  )
}

function FileProgress({ file }: { file: DownloadFile }) {
  const { t, language } = useI18n()
  const seconds = file.eta_seconds
  const facts = [
    t('running.file', {
      done: formatBytes(file.downloaded_bytes),
      total: formatBytes(file.total_bytes),
      speed: formatBytes(file.speed_bytes_per_second),
    }),
    seconds !== null && t('running.left', { time: formatDuration(seconds, language) }),
  ].filter(Boolean)
  return (
    <div>
      <Group justify="space-between" mb={2} gap="xs">
        <Text fz="xs" ff="monospace" style={{ overflowWrap: 'anywhere' }}>
          {file.name}
        </Text>
        <Text fz="xs" c="dimmed">
          {facts.join(' · ')}
        </Text>
      </Group>
      <Progress
        size="xs"
        value={file.total_bytes > 0 ? (file.downloaded_bytes / file.total_bytes) * 100 : 0}
        aria-label={t('running.file.progress', { name: file.name })}
      />
    </div>
  )
}
