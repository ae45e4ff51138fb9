import { Alert, Group, Paper, Progress, Skeleton, Stack, Text, Title } from '@mantine/core'
import type { UseQueryResult } from '@tanstack/react-query'

import type { Preview } from '../api/instances'
import { useCluster } from '../api/queries'
import { formatBytes } from '../format'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'
import { AlertIcon } from '../shell/icons'
import { Sentence } from '../shell/Sentence'
import { bestRoom, neededOn } from './room'

interface Props {
  preview: UseQueryResult<Preview>
  replica: number
}

/** What would run on which engine, what it takes, and whether there is room for it. */
export function PreviewPanel({ preview, replica }: Props) {
  const { t } = useI18n()
  const { data, error, isFetching } = preview
  return (
    <Paper component="section" withBorder p="md" aria-labelledby="preview-title" aria-busy={isFetching}>
      <Title order={3} fz="sm" id="preview-title" mb="xs">
        {t('preview.title')}
      </Title>
      {isFetching && !data && <Skeleton h={48} aria-label={t('loading')} />}
      <ErrorAlert error={error} />
      {data && !error && (
        <Stack gap="xs">
          <Text fz="sm">
            {t('preview.form', {
              engine: data.model_engine,
              format: data.model_format || '–',
              quantization: data.quantization,
            })}
          </Text>
          <Text fz="sm">
            {data.cached
              ? t('preview.cached')
              : data.size_bytes > 0
                ? t('preview.download', { size: formatBytes(data.size_bytes) })
                : t('preview.download.unknown')}
          </Text>
          {data.engine_reason && (
            <Text fz="sm" c="dimmed" lang="en">
              {data.engine_reason}
            </Text>
          )}
          <MemoryBar preview={data} replica={replica} />
          {data.lack && (
            <Alert color="yellow" icon={<AlertIcon />} role="status" lang="en">
              <Sentence text={data.lack} />
            </Alert>
          )}
        </Stack>
      )}
    </Paper>
  )
}

function MemoryBar({ preview, replica }: { preview: Preview; replica: number }) {
  const { t } = useI18n()
  const { data } = useCluster()
  const room = data && bestRoom(data.workers)
  if (!room) return null
  const needed = neededOn(room, preview.memory)
  const { weights, kv_cache, overhead, accelerator_overhead } = preview.memory
  const place = room.accelerator ?? t('preview.processors', { worker: room.worker })
  return (
    <div>
      <Group justify="space-between" gap="xs" mb={4}>
        <Text fz="sm">{t('preview.memory')}</Text>
        <Text fz="sm">
          {t('preview.memory.free', { needed: formatBytes(needed), free: formatBytes(room.free) })}
        </Text>
      </Group>
      <Progress
        value={Math.min(100, (needed / Math.max(room.free, 1)) * 100)}
        color={needed > room.free ? 'red' : 'teal'}
        aria-label={t('preview.memory')}
      />
      <Text fz="xs" c="dimmed" mt={4}>
        {t('preview.memory.parts', {
          weights: formatBytes(weights),
          cache: formatBytes(kv_cache),
          buffers: formatBytes(room.accelerator ? accelerator_overhead : overhead),
        })}
        {' · '}
        {t('preview.memory.on', { device: place })}
      </Text>
      {replica > 1 && (
        <Text fz="xs" c="dimmed">
          {t('preview.memory.all', { count: replica, memory: formatBytes(replica * needed) })}
        </Text>
      )}
    </div>
  )
}
