import { Alert, Anchor, Badge, Button, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useMutation, useQueryClient } from '@tanstack/react-query'

import { drainWorker } from '../api/cluster'
import type { Worker } from '../api/cluster'
import { formatBytes } from '../format'
import { useI18n } from '../i18n'
import { routeTo } from '../route'
import { ConfirmDialog } from '../shell/ConfirmDialog'
import { CopyButton } from '../shell/CopyButton'
import { ErrorAlert } from '../shell/ErrorAlert'
import { Meter } from './Meter'

export function WorkerCard({ worker }: { worker: Worker }) {
  const { t } = useI18n()
  const { address, processors } = worker
  const labels = Object.entries(worker.labels).map(([key, value]) => `${key}=${value}`)
  return (
    <Paper component="article" withBorder p="md" aria-label={address}>
      <Stack gap="sm">
        <Group justify="space-between" align="flex-start">
          <div>
            <Group gap={6}>
              <Title order={2} fz="lg" ff="monospace">
                {address}
              </Title>
              <CopyButton text={address} />
              <Badge color={worker.leaving ? 'gray' : 'teal'} variant="light" role="status">
                {t(`cluster.state.${worker.leaving ? 'LEAVING' : 'READY'}`)}
              </Badge>
            </Group>
            <Text fz="sm" c="dimmed">
              {[t('cluster.version', { version: worker.version }), ...labels].join(' · ')}
            </Text>
          </div>
          {!worker.leaving && <Drain address={address} />}
        </Group>
        <Meter
          label={t('cluster.processors', { cores: processors.total })}
          name={t('cluster.processors.load', { worker: address })}
          value={processors.usage}
          text={`${Math.round(processors.usage * 100)} %`}
        />
        <Meter
          label={t('cluster.memory')}
          name={t('cluster.memory.main', { worker: address })}
          value={processors.memory_used / processors.memory_total}
          text={t('cluster.memory.used', {
            used: formatBytes(processors.memory_used),
            total: formatBytes(processors.memory_total),
          })}
        />
        {worker.accelerators.length === 0 && (
          <Text fz="sm" c="dimmed">
            {t('cluster.gpu.none')}
          </Text>
        )}
        {worker.accelerators.map((one) => (
          <Meter
            key={one.device}
            label={[
              `${one.device} ${one.name}`,
              one.gpu_util !== null && t('cluster.gpu.load', { percent: one.gpu_util }),
              one.problem,
            ]
              .filter(Boolean)
              .join(' · ')}
            name={t('cluster.memory.of', { device: one.device, worker: address })}
            value={one.mem_total > 0 ? one.mem_used / one.mem_total : 0}
            text={t('cluster.memory.used', {
              used: formatBytes(one.mem_used),
              total: formatBytes(one.mem_total),
            })}
          />
        ))}
        {worker.problems.map((problem) => (
          <Alert key={problem} color="yellow" lang="en">
            {problem}
          </Alert>
        ))}
        <Models uids={worker.models} />
      </Stack>
    </Paper>
  )
}

function Models({ uids }: { uids: string[] }) {
  const { t } = useI18n()
  const counts = new Map<string, number>()
  for (const uid of uids) counts.set(uid, (counts.get(uid) ?? 0) + 1)
  return (
    <Group gap="xs">
      <Text fz="sm" fw={600}>
        {t('cluster.models')}
      </Text>
      {uids.length === 0 && (
        <Text fz="sm" c="dimmed">
          {t('cluster.models.none')}
        </Text>
      )}
      {[...counts].map(([uid, count]) => (
        <Anchor
          key={uid}
          fz="sm"
          href={routeTo('running')}
          style={{ overflowWrap: 'anywhere' }}
        >
          {count > 1 ? `${uid} × ${count}` : uid}
        </Anchor>
      ))}
    </Group>
  )
}

function Drain({ address }: { address: string }) {
  const { t } = useI18n()
  const queries = useQueryClient()
  const [asking, dialog] = useDisclosure(false)
  const drain = useMutation({
    mutationFn: drainWorker,
    onSettled: () => queries.invalidateQueries({ queryKey: ['cluster'] }),
  })
  return (
    <Stack gap="xs" align="flex-end">
      <Button
        size="xs"
        variant="default"
        loading={drain.isPending}
        aria-label={t('cluster.drain.worker', { worker: address })}
        onClick={dialog.open}
      >
        {t('cluster.drain')}
      </Button>
      <ErrorAlert error={drain.error} />
      <ConfirmDialog
        opened={asking}
        title={t('cluster.drain.title', { worker: address })}
        text={t('cluster.drain.text')}
        keep={t('cluster.keep')}
        confirm={t('cluster.drain')}
        onClose={dialog.close}
        onConfirm={() => drain.mutate(address)}
      />
    </Stack>
  )
}
