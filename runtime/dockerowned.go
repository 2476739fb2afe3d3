package runtime

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Owned asks for everything at the same time.
func (d *docker) Owned(ctx context.Context, uid int) ([]Owned, error) {
	label := channel.UserLabel + "=" + strconv.Itoa(uid)
	asks := []func() ([]Owned, error){
		func() ([]Owned, error) { return d.ownedContainers(ctx, label) },
		func() ([]Owned, error) { return d.ownedContainers(ctx, channel.ProbeLabel) },
		func() ([]Owned, error) { return d.ownedVolumes(ctx, label) },
		func() ([]Owned, error) { return d.ownedNetworks(ctx, label) },
	}
	lists, errs := make([][]Owned, len(asks)), make([]error, len(asks))
	var wait sync.WaitGroup
	for i, ask := range asks {
		wait.Go(func() { lists[i], errs[i] = ask() })
	}
	wait.Wait()
	var all []Owned
	for i := range asks {
		if errs[i] != nil {
			return nil, errs[i] // they fail for the same reason
		}
		all = append(all, lists[i]...)
	}
	return all, nil
}

func (d *docker) ownedContainers(ctx context.Context, label string) ([]Owned, error) {
	list, err := d.cli.Client().ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		return nil, err
	}
	var all []Owned
	for _, c := range list.Items {
		name := c.ID
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/")
		}
		all = append(all, Owned{
			Kind: kindContainer, ID: c.ID, Name: name, Project: c.Labels[api.ProjectLabel], State: string(c.State),
			Probe: c.Labels[channel.ProbeLabel], Made: time.Unix(c.Created, 0),
		})
	}
	return all, nil
}

func (d *docker) ownedVolumes(ctx context.Context, label string) ([]Owned, error) {
	list, err := d.cli.Client().VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		return nil, err
	}
	var all []Owned
	for _, v := range list.Items {
		made, _ := time.Parse(time.RFC3339, v.CreatedAt) // for the eye
		all = append(all, Owned{Kind: kindVolume, ID: v.Name, Name: v.Name, Project: v.Labels[api.ProjectLabel], Made: made})
	}
	return all, nil
}

func (d *docker) ownedNetworks(ctx context.Context, label string) ([]Owned, error) {
	list, err := d.cli.Client().NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		return nil, err
	}
	var all []Owned
	for _, n := range list.Items {
		all = append(all, Owned{Kind: kindNetwork, ID: n.ID, Name: n.Name, Project: n.Labels[api.ProjectLabel], Made: n.Created})
	}
	return all, nil
}

// Remove is no error for what is gone, or is just going.
func (d *docker) Remove(ctx context.Context, o Owned) error {
	var err error
	switch o.Kind {
	case kindContainer:
		_, err = d.cli.Client().ContainerRemove(ctx, o.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if errdefs.IsConflict(err) {
			err = d.untilGone(ctx, o.ID, err)
		}
	case kindVolume:
		_, err = d.cli.Client().VolumeRemove(ctx, o.ID, client.VolumeRemoveOptions{})
	case kindNetwork:
		_, err = d.cli.Client().NetworkRemove(ctx, o.ID, client.NetworkRemoveOptions{})
	default:
		return fmt.Errorf("no such kind: %s", o.Kind)
	}
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// untilGone waits for a container that somebody else is removing.
func (d *docker) untilGone(ctx context.Context, id string, why error) error {
	for range downTries {
		if _, err := d.cli.Client().ContainerInspect(ctx, id, client.ContainerInspectOptions{}); errdefs.IsNotFound(err) {
			return nil
		}
		pause(ctx, downPause)
	}
	return why
}
