{{- define "kubestudy.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "kubestudy.controller" -}}
{{ include "kubestudy.fullname" . }}-controller
{{- end -}}

{{- define "kubestudy.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "kubestudy.dashboardLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: dashboard
{{- end -}}

{{- define "kubestudy.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "kubestudy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "kubestudy.controller" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- /* The user that the API server sees when the controller speaks. */ -}}
{{- define "kubestudy.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "kubestudy.serviceAccountName" . }}
{{- end -}}

{{- define "kubestudy.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "kubestudy.trialImage" -}}
{{- .Values.trialImage | default (printf "localhost/kubestudy-trial:%s" .Chart.AppVersion) -}}
{{- end -}}

{{- /* Where trials reach the endpoint that they push to. */ -}}
{{- define "kubestudy.pushUrl" -}}
{{- $scheme := ternary "https" "http" (ne .Values.push.tlsSecret "") -}}
{{- $host := printf "%s-push.%s.svc" (include "kubestudy.fullname" .) .Release.Namespace -}}
{{- .Values.push.url | default (printf "%s://%s:%d" $scheme $host (int .Values.push.port)) -}}
{{- end -}}
