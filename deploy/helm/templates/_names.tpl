{{/* Names, labels and the image. The context is this chart's own, or `.Subcharts.poolexporter` of the chart around it. */}}

{{- define "poolexporter.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "poolexporter.fullname" -}}
{{- $name := include "poolexporter.name" . -}}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{ .Values.fullnameOverride | default $default | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "poolexporter.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
  "app.kubernetes.io/name" (include "poolexporter.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $own .Values.commonLabels | toYaml }}
{{- end }}

{{/* What the pods of the standalone Deployment are known by. */}}
{{- define "poolexporter.standaloneLabels" -}}
app.kubernetes.io/name: {{ include "poolexporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: standalone
{{- end }}

{{/* What the pods with an exporter in them are known by. */}}
{{- define "poolexporter.selector" -}}
{{- if and .Values.selector .Values.standalone.enabled }}
{{- fail "selector is for the pods of an application, and standalone.enabled has none: leave one of them out" }}
{{- end }}
{{- .Values.selector | default (dict "app.kubernetes.io/instance" .Release.Name) | toYaml }}
{{- end }}

{{/*
The same for what cannot tell pods apart by a port's name: the instance alone would also be a database of the release.
The context is a dict of `chart`, and `key`, the value that asks.
*/}}
{{- define "poolexporter.exactSelector" -}}
{{- if .chart.Values.standalone.enabled }}
{{- include "poolexporter.standaloneLabels" .chart }}
{{- else if .chart.Values.selector }}
{{- include "poolexporter.selector" .chart }}
{{- else }}
{{- fail (printf "%s needs selector: labels that the pods with an exporter have, and no other pods of the release" .key) }}
{{- end }}
{{- end }}

{{- define "poolexporter.image" -}}
{{- $name := list .Values.image.registry .Values.image.repository | compact | join "/" -}}
{{- if .Values.image.digest -}}
{{ $name }}@{{ .Values.image.digest }}
{{- else -}}
{{ $name }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/*
A release of its own for rules and dashboards has no exporter. As a dependency nobody knows: the chart around it may have
our lines.
*/}}
{{- define "poolexporter.isForTheCluster" -}}
{{- if and .Chart.IsRoot (or .Values.prometheusRule.enabled .Values.dashboards.enabled) }}
{{- if not (or .Values.standalone.enabled .Values.config .Values.existingSecrets .Values.secrets .Values.podMonitor.enabled .Values.serviceMonitor.enabled .Values.extraManifests) -}}
true
{{- end }}
{{- end }}
{{- end }}

{{- define "poolexporter.isNative" -}}
{{- $native := toString .Values.sidecar.native -}}
{{- if or (eq $native "true") (and (eq $native "auto") (semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version)) -}}
true
{{- end }}
{{- end }}
