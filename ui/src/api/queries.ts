import { QueryClient, keepPreviousData, useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'

import { askEngines, listCatalogue, listEngines } from './catalogue'
import { getCluster, listEvents } from './cluster'
import {
  getEngineDetails,
  getLogs,
  getProgress,
  listInstances,
  listReplicas,
  previewLaunch,
} from './instances'
import type { Instance, LaunchRequest, Status } from './instances'
import { getRequestProgress } from './progress'

const SETTLING_MS = 1_000
const SETTLED_MS = 5_000
const WORKING_MS = 500

export function createQueryClient(): QueryClient {
  // The server may well run on a machine without a network: ask it even when "offline".
  const always = { networkMode: 'always', retry: false } as const
  return new QueryClient({ defaultOptions: { queries: always, mutations: always } })
}

export function isPending(instance: Instance): boolean {
  return instance.status === 'CREATING' || instance.status === 'LOADING'
}

function isSettled({ status }: { status: Status }): boolean {
  return status === 'READY' || status === 'ERROR'
}

function untilSettled(data: { status: Status }[] | undefined): number {
  return data && !data.every(isSettled) ? SETTLING_MS : SETTLED_MS
}

export function useCatalogue() {
  return useQuery({
    queryKey: ['catalogue'],
    queryFn: ({ signal }) => listCatalogue(signal),
    refetchInterval: ({ state }) => (state.status === 'error' ? SETTLED_MS : false),
  })
}

/** Launched models: asked for every second while one of them is changing, else every five. */
export function useInstances() {
  return useQuery({
    queryKey: ['instances'],
    queryFn: ({ signal }) => listInstances(signal),
    refetchInterval: ({ state }) => untilSettled(state.data),
  })
}

export function useProgress(uid: string) {
  return useQuery({
    queryKey: ['progress', uid],
    queryFn: ({ signal }) => getProgress(uid, signal),
    refetchInterval: SETTLING_MS,
  })
}

/** How far the request `id` is, from 0 to 1; 0 while nobody knows. */
export function useRequestProgress(id: string): number {
  // Just after it was sent the server may not know of it, and many are done before it is asked.
  const [asked, setAsked] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setAsked(true), WORKING_MS)
    return () => clearTimeout(timer)
  }, [])
  const { data } = useQuery({
    queryKey: ['request progress', id],
    queryFn: ({ signal }) => getRequestProgress(id, signal),
    enabled: asked,
    refetchInterval: WORKING_MS,
  })
  return data ?? 0
}

export function useEngineDetails(instance: Instance) {
  return useQuery({
    // A model of the same uid may be another one after a while.
    queryKey: ['engine details', instance.model_uid, instance.instance_created_ts],
    queryFn: ({ signal }) => getEngineDetails(instance.model_uid, signal),
    staleTime: Infinity,
  })
}

export function useReplicas(uid: string) {
  return useQuery({
    queryKey: ['replicas', uid],
    queryFn: ({ signal }) => listReplicas(uid, signal),
    refetchInterval: ({ state }) => untilSettled(state.data),
  })
}

export function useLogs(uid: string) {
  return useQuery({
    queryKey: ['logs', uid],
    queryFn: ({ signal }) => getLogs(uid, signal),
    refetchInterval: SETTLED_MS,
  })
}

/** Which engines run a model. A repository is looked up on its hub for it. */
export function useEngineAnswers(model: string) {
  return useQuery({
    queryKey: ['engine answers', model],
    queryFn: ({ signal }) => askEngines(model, signal),
  })
}

/** The engines with their options, which do not change while the server runs. */
export function useEngines() {
  return useQuery({
    queryKey: ['engines'],
    queryFn: ({ signal }) => listEngines(signal),
    staleTime: Infinity,
  })
}

/** What this launch would come to; until it is known, what an earlier one would. */
export function usePreview(launch: LaunchRequest) {
  return useQuery({
    queryKey: ['preview', launch],
    queryFn: ({ signal }) => previewLaunch(launch, signal),
    placeholderData: keepPreviousData,
  })
}

export function useCluster() {
  return useQuery({
    queryKey: ['cluster'],
    queryFn: ({ signal }) => getCluster(signal),
    refetchInterval: SETTLED_MS,
  })
}

export function useEvents() {
  return useQuery({
    queryKey: ['events'],
    queryFn: ({ signal }) => listEvents(signal),
    refetchInterval: SETTLED_MS,
  })
}
